"""Takes the queries of a running test, gives how often each way of answering was taken.

Stands between Shoal and its ways. A log handler would be seen by tests of logging.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from shoal.sharding import reading
from shoal.sharding.ways import Apart, Gathered, Merged, OneShard
from tests.django_suite.grounds import ground

WAYS = {OneShard: "one shard", Apart: "scatter", Merged: "merge", Gathered: "gather"}


class Tally:
    """What has been counted since it was last taken, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ways: Counter[str] = Counter()
        self._grounds: Counter[str] = Counter()

    def count(self, way: str, why: str = "") -> None:
        with self._lock:
            self._ways[way] += 1
            if why:
                self._grounds[why] += 1

    def take(self) -> dict[str, dict[str, int]]:
        """Return it, and begin anew; empty if there was no query."""
        with self._lock:
            taken = {"ways": dict(self._ways), "grounds": dict(self._grounds)}
            self._ways.clear()
            self._grounds.clear()
        return taken if taken["ways"] else {}


class Counted:
    """A way that is counted once it has answered; a gathered one before it begins."""

    def __init__(self, way: Any, tally: Tally, why: Any) -> None:
        self._way, self._tally, self._why = way, tally, why
        self.plan, self.shape = way.plan, way.shape

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any:
        name = WAYS[type(self._way)]
        if name == "gather":
            # It may be forbidden, or too large.
            self._tally.count(name, self._why(sql, params))
        answer = self._way.answer(sql, params, is_chunked=is_chunked)
        if answer is not None and name != "gather":
            self._tally.count(name)
        return answer


def begin(*, forbidden: bool) -> Tally:
    """
    Count from now on.

    Where it is `forbidden` to gather, it is an error, and not counted, if a query would
    be gathered whose plan says that a cheaper way answers it.
    """
    tally, ways = Tally(), reading.ways

    def counted(compiler: Any, levels: Any, where: Any) -> Iterator[Counted]:
        passed: list[Any] = []

        def why(sql: str, params: Any) -> str:
            if forbidden:
                _require_no_plan(passed, sql, params)
            return ground(compiler, levels, where, [type(way) for way in passed])

        for way in ways(compiler, levels, where):
            yield Counted(way, tally, why)
            passed.append(way)

    vars(reading).update(
        ways=counted,
        # These are told of a query whose shape is known, or whose block says a shard.
        asked=_telling(reading.asked, "one shard", tally),
        scattered=_telling(reading.scattered, "scatter", tally),
    )
    return tally


def _telling(tell: Any, way: str, tally: Tally) -> Any:
    def told(*args: Any) -> None:
        tally.count(way)
        tell(*args)

    return told


def _require_no_plan(passed: list[Any], sql: str, params: Any) -> None:
    for way in passed:
        if way.plan(sql, params) is not None:
            raise AssertionError(
                f"A plan says {WAYS[type(way)]!r}, but gathered: {sql}"
            )
