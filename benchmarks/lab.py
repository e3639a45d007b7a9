"""How long a primary, two replicas and four shards take to come up, in seconds."""

import statistics
import time

from benchmarks.record import record
from shoal.lab import Lab, Postgres

BUDGET = 6.0
"""Seconds, on two cores."""
ROUNDS = 3


def start_once() -> float:
    began = time.perf_counter()
    with Lab(
        Postgres("default", replicas=("replica_1", "replica_2")),
        *(Postgres(f"shard_{n}") for n in range(4)),
    ):
        return time.perf_counter() - began


def main(*, keep: bool = True) -> int:
    times = [start_once() for _ in range(ROUNDS)]
    median = statistics.median(times)
    print(
        f"A lab of seven PostgreSQL servers is up in {median:.2f} s "
        f"(median of {ROUNDS}, from {min(times):.2f} to {max(times):.2f})."
    )
    if keep:
        record("lab", {"seconds": round(median, 2)})
    return int(median > BUDGET)
