"""Takes a number of units, gives all lines: one kind of server after the other."""

import time

from benchmarks.record import record
from benchmarks.transactions.measuring import measure
from benchmarks.transactions.places import KINDS, configure, plain, planned, synced_ms
from benchmarks.transactions.results import lines, show, verdict
from benchmarks.transactions.units import ways

UNITS = 1_000
NO_DISK = 0.02
"""Milliseconds in which nothing is kept."""


def main(*, units: int = UNITS, keep: bool = True) -> int:
    began = time.monotonic()
    with planned() as lab:
        configure(lab)
        synced = synced_ms()
        found = [
            line for kind in KINDS for line in lines(kind, measure(ways(kind), units))
        ]
        versions = {kind: lab[plain(kind)[0]].version for kind in KINDS}
    seconds = time.monotonic() - began
    show(found, title=f"{units:,} units of each way, {seconds:.0f} s")
    print(f"The disk takes {synced['median']} ms to keep a page (p99 {synced['p99']}).")
    if synced["median"] < NO_DISK:
        print("That is no disk but memory, so nothing is recorded. Set TMPDIR.")
    elif keep:
        results = {
            "units": units,
            "synced_ms": synced,
            "lines": [line.as_json() for line in found],
        }
        record("transactions", results, **versions)
    return verdict(found)
