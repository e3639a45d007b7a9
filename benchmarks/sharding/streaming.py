"""All rows through `iterator()`: how long it takes, and how large the process gets."""

import json
import subprocess
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.sharding.keyed import NAIVE, ONE_DATABASE
from benchmarks.sharding.measuring import Taken, Work
from benchmarks.sharding.places import SHARDS, configure

STREAM = "iterator()"


def streaming(rounds: int) -> Work:
    from benchmarks.sharding.models import OneReview, Review

    def sharded(n: int) -> Any:
        return partial(count, Review.objects)

    def one(n: int) -> Any:
        return partial(count, OneReview.objects)

    def naive(n: int) -> Any:
        return partial(_loop, Review.objects)

    ways = {"sharded": sharded, ONE_DATABASE: one, NAIVE: naive}
    return Work(name=STREAM, ways=ways, right=ONE_DATABASE, rounds=rounds)


def count(rows: Any) -> int:
    return sum(1 for _ in rows.iterator())


def _loop(rows: Any) -> int:
    parts = (rows.using(alias).iterator() for alias in SHARDS)
    return sum(1 for _ in chain.from_iterable(parts))


def peak(entries: dict[str, Any], model: str, rows: int | None) -> Taken:
    """Let a process of its own take so many rows, or all; return its size in bytes."""
    command = [sys.executable, "-m", "benchmarks.sharding.streaming"]
    asked = json.dumps({"databases": entries, "model": model, "rows": rows})
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    return Taken(seconds=found["peak"], refused=found["refused"])


def _measure_peak() -> None:
    from shoal.errors import ShoalError

    asked = json.load(sys.stdin)
    configure(asked["databases"])
    from django.apps import apps

    rows = apps.get_model("sharding", asked["model"]).objects.all()
    found: dict[str, Any] = {"peak": [], "refused": ""}
    try:
        if asked["rows"] is None:
            count(rows)
        else:
            sum(1 for _ in rows.order_by("pk")[: asked["rows"]].iterator())
        found["peak"] = [_largest()]
    except ShoalError as error:
        found["refused"] = type(error).__name__
    print(json.dumps(found))


def _largest() -> int:
    """Return the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage() counts what the parent had before it became this process.
        lines = status.read_text().splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) * 1024
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


if __name__ == "__main__":
    _measure_peak()
