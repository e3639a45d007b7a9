"""
Takes away the server: what is left of a keyed query is what the client does.

The cursors answer at once, with rows that were really asked for before.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.sharding.keyed import FILTER, FOUND, FOUR, GET, USING, shard
from benchmarks.sharding.measuring import Way, Work
from benchmarks.sharding.results import Line
from benchmarks.sharding.rows import Sample

ALONE = ", client alone"


def works(sample: Sample, many: int, rounds: int) -> Iterator[tuple[Work, list[Any]]]:
    """Give keyed queries of one key, always the same, and the rows that answer them."""
    from benchmarks.sharding.models import Review, WideReview

    pk, product = sample.pks[0], sample.products[0]
    near = Review.objects.using(shard(sample, 0))

    def get(rows: Any) -> Any:
        return rows.get(pk=pk)

    def filtered(rows: Any) -> Any:
        return list(_first(rows, product))

    two = {"sharded": Review.objects, USING: near}
    wide = {"sharded": WideReview.objects, FOUR: Review.objects}
    for name, ask, rows, canned in (
        (GET, get, two, near.filter(pk=pk)),
        (FILTER, filtered, two, _first(near, product)),
        (f"{FILTER}, {many} shards", filtered, wide, _first(near, product)),
    ):
        ways = {each: _way(partial(ask, found)) for each, found in rows.items()}
        work = Work(name=f"{name}{ALONE}", ways=ways, rounds=rounds)
        yield work, list(canned.values_list())


def _first(rows: Any, product: int) -> Any:
    return rows.filter(product=product).order_by("created")[:FOUND]


def _way(timed: Callable[[], Any]) -> Way:
    return lambda n: timed


def added(lines: Sequence[Line]) -> dict[str, float]:
    """Return by how many microseconds the first way takes longer, by work."""
    return {
        line.work: round((line.ours.median - line.other.median) * 1e6, 1)
        for line in lines
        if line.work.endswith(ALONE) and line.ours.median and line.other.median
    }


@contextlib.contextmanager
def answering(rows: Sequence[Any]) -> Iterator[None]:
    """Let every open connection answer with these rows for a block, unasked."""
    from django.db import connections

    kind = _cursor(rows)
    opened = [
        one.connection
        for one in connections.all(initialized_only=True)
        if getattr(one.connection, "cursor_factory", None)
    ]
    before = [connection.cursor_factory for connection in opened]
    for connection in opened:
        connection.cursor_factory = kind
    try:
        yield
    finally:
        for connection, factory in zip(opened, before, strict=True):
            connection.cursor_factory = factory


def _cursor(rows: Sequence[Any]) -> type:
    from django.db.backends.postgresql.base import Cursor

    class Answering(Cursor):  # type: ignore[misc, valid-type]
        _left: Sequence[Any] = ()

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            self._left = rows
            return self

        def fetchmany(self, *args: Any) -> Any:
            left, self._left = self._left, []
            return left

    return Answering
