"""Takes a number of rows, gives all lines: the servers, the rows, the work in turn."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.record import record
from benchmarks.sharding import (
    alchemy,
    everywhere,
    keyed,
    planning,
    rows,
    stages,
    streaming,
    writing,
)
from benchmarks.sharding.keyed import FOUR, ONE_DATABASE, USING
from benchmarks.sharding.measuring import SLOWEST, Work, measure
from benchmarks.sharding.places import SERVER, configure, databases, make_tables
from benchmarks.sharding.results import Line, Target, show, verdict
from shoal.lab import Lab, Postgres

ROWS = 1_000_000
WIDE = 64
KEYED = Target(limit=1.1)
EVERYWHERE = Target(limit=1.5)
GROUPED = Target(limit=1.3)
WRITTEN = Target(limit=0.9, is_rate=True)
COPIED = Target(limit=2.5, is_rate=True)
STREAMED = Target(limit=0.9, is_rate=True)
CONSTANT = Target(limit=1.1)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    rows: int
    wide: int

    @property
    def calls(self) -> int:
        """Rounds of what takes a millisecond."""
        return max(10, min(600, self.rows // 100))

    @property
    def rounds(self) -> int:
        """Rounds of what takes longer."""
        return 15 if self.rows > 10_000 else 3


def main(*, rows: int = ROWS, wide: int = WIDE, keep: bool = True) -> int:
    began = time.monotonic()
    with Lab(Postgres("reviews_lab", settings=SERVER)) as lab:
        [server] = lab
        entries = databases(server, wide)
        configure(entries)
        profiled: dict[str, Any] = {}
        found = run(Size(rows=rows, wide=wide), entries, profiled)
        version = server.version
    lines = [line for part in found for line in part]
    added = planning.added(lines)
    seconds = time.monotonic() - began
    show(lines, title=f"{rows:,} reviews on 4 shards, {seconds:.0f} s")
    for work, microseconds in added.items():
        print(f"{work}: {microseconds:+.0f} µs.")
    stages.show(profiled)
    if keep:
        results = {
            "rows": rows,
            "added_us": added,
            "profiled_ms": profiled,
            "lines": [line.as_json() for line in lines],
        }
        record("sharding", results, postgresql=version)
    return verdict(lines)


def run(
    size: Size, entries: dict[str, Any], profiled: dict[str, Any]
) -> list[list[Line]]:
    """Measure all; note also of what takes all shards where its time goes."""
    make_tables()
    sample = rows.load(size.rows)
    rival = alchemy.contender()
    if rival is None:
        print(f"{alchemy.NAME} is not installed, so that it is not in the table.")
    return [
        list(_keyed(sample, rival, size)),
        list(_client_alone(sample, size)),
        list(_everywhere(sample, rival, size, profiled)),
        list(_streaming(size, entries)),
        # From here on the shards and the one database differ.
        compared(keyed.creating(sample, rival, size.calls), {USING: KEYED}),
        list(_in_bulk(size)),
    ]


def compared(work: Work, targets: Mapping[str, Target]) -> list[Line]:
    """Measure, and put the first way beside each other one."""
    taken = measure(work)
    ours = next(iter(work.ways))
    return [
        Line(
            work=work.name,
            against=name,
            ours=taken[ours],
            other=taken[name],
            target=targets.get(name),
        )
        for name in taken
        if name != ours
    ]


def _keyed(sample: rows.Sample, rival: Any, size: Size) -> Iterator[Line]:
    for work in keyed.reads(sample, rival, size.calls):
        yield from compared(work, {USING: KEYED})
    yield from compared(keyed.wide(sample, size.wide, size.calls), {FOUR: KEYED})


def _client_alone(sample: rows.Sample, size: Size) -> Iterator[Line]:
    for work, canned in planning.works(sample, size.wide, 3 * size.calls):
        with planning.answering(canned):
            yield from compared(work, {})


def _everywhere(
    sample: rows.Sample, rival: Any, size: Size, profiled: dict[str, Any]
) -> Iterator[Line]:
    for work in everywhere.reads(sample, rival, size.rounds):
        if work.workers:
            print(f"{work.name}: a shard's server adds up to {work.workers} processes.")
        groups = {ONE_DATABASE: GROUPED} if work.name.startswith("group") else {}
        yield from compared(work, {SLOWEST: EVERYWHERE, **groups})
        profiled[work.name] = stages.stages(work.ways["sharded"](0))


def _streaming(size: Size, entries: dict[str, Any]) -> Iterator[Line]:
    yield from compared(streaming.streaming(size.rounds // 3), {ONE_DATABASE: STREAMED})
    full = streaming.peak(entries, "Review", None)
    for against, model, count, target in (
        ("a tenth of the rows", "Review", size.rows // 10, CONSTANT),
        (ONE_DATABASE, "OneReview", None, None),
    ):
        yield Line(
            work=f"{streaming.STREAM}, size of the process",
            against=against,
            ours=full,
            other=streaming.peak(entries, model, count),
            target=target,
            unit="MB",
        )


def _in_bulk(size: Size) -> Iterator[Line]:
    count = min(writing.BULK, size.rows)
    work = writing.bulk(count, size.rounds // 3)
    taken = measure(work)
    one, copied = taken[ONE_DATABASE], taken[writing.TO_SHARDS]
    yield Line(
        work=work.name,
        against=ONE_DATABASE,
        ours=taken["sharded"],
        other=one,
        target=WRITTEN,
    )
    for against, other, target in (
        (f"{ONE_DATABASE}, bulk_create", one, COPIED),
        (f"{ONE_DATABASE}, COPY", taken[writing.TO_ONE], None),
    ):
        yield Line(
            work=f"COPY of {count:,}",
            against=against,
            ours=copied,
            other=other,
            target=target,
        )
