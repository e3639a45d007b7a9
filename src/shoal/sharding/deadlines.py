"""
`deadline`: say when the queries of a block have to have their rows.

A query with a deadline is watched: it notes which connections it uses, and when the
time has come, what runs there is stopped by whoever minds the clock.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, Self

from shoal.errors import DeadlineExceeded, ShoalError
from shoal.sharding.blocks import Block, said
from shoal.sharding.clock import ring_at
from shoal.sharding.stopping import stop_of
from shoal.topology import Cluster
from shoal.types import Alias, ClusterName

AGAIN = 0.2
"""Seconds after which a server is told once more: it may only have begun."""


class End(NamedTuple):
    """When the time is up, by the monotonic clock."""

    at: float
    seconds: float
    """How many there were."""


class deadline(Block):
    """
    Let queries on sharded aliases raise `DeadlineExceeded` after so many seconds.

    They are counted from when the block begins, over all its queries. An inner block
    can only end earlier. Inside, `TIMEOUT` does not count; `None` lifts that, and the
    deadline of outer blocks.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"deadline({seconds!r}): it takes seconds above 0.")
        super().__init__({"seconds": seconds})

    def _made(self) -> Mapping[str, Any]:
        seconds = self._changes["seconds"]
        if seconds is None:
            return {"end": None}
        mine, outer = End(time.monotonic() + seconds, seconds), said("end", None)
        return {"end": mine if outer is None else min(mine, outer)}


_NOTHING: Any = object()


def end_for(cluster: Cluster) -> End | None:
    """Return when a query that begins now has to end; `None`: whenever it does."""
    end: End | None = said("end", _NOTHING)
    if end is _NOTHING:
        seconds = cluster.timeout
        end = None if seconds is None else End(time.monotonic() + seconds, seconds)
    watch = _watch.get()
    if watch is not None:
        end = watch.end if end is None else min(end, watch.end)
    return end


class Watch:
    """One query with a deadline: a block around all that is done for it."""

    def __init__(self, cluster: ClusterName, end: End) -> None:
        self._cluster, self.end = cluster, end
        self._lock = threading.Lock()
        """For what changes: several threads ask."""
        self._stopping = threading.Lock()
        """Held while servers are told to stop."""
        self._over = threading.Event()
        self._used: list[Any] = []
        self._shards: list[Any] = []
        """Those used connections that lead to one."""
        self._stops: dict[Any, Callable[[], Any]] = {}
        """Of the connections on which something was asked."""
        self._at_work: set[Any] = set()
        self._silent: list[Alias] | None = None
        """Who had not answered when the time was up; `None` before."""

    def __enter__(self) -> Self:
        if self.end.at <= time.monotonic():
            raise self._error()
        self._token: Token[Watch | None] = _watch.set(self)
        ring_at(self.end.at, self)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        _watch.reset(self._token)
        self._over.set()
        with self._stopping:
            # No order to stop is on its way any more.
            for connection in self._used:
                with contextlib.suppress(ValueError):
                    connection.execute_wrappers.remove(self._run)
            # Whoever minds the clock keeps this until the time has come.
            self._used, self._shards, self._stops = [], [], {}
            self._at_work.clear()
        is_stopped = self._silent is not None and isinstance(error, Exception)
        if is_stopped and not isinstance(error, ShoalError):
            raise self._error() from error

    def add(self, connection: Any, *, is_shard: bool) -> None:
        """Note that the query uses a connection."""
        if any(one is connection for one in self._used):
            return
        self._used.append(connection)
        if is_shard:
            self._shards.append(connection)
        else:
            # Much of what is done there goes past Django's cursors.
            with self._lock:
                self._stops[connection] = stop_of(connection)
                self._at_work.add(connection)
        connection.execute_wrappers.append(self._run)

    def _run(
        self, execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        connection = context["connection"]
        with self._lock:
            if self._silent is not None:
                raise self._error()
            self._stops[connection] = stop_of(connection)
            self._at_work.add(connection)
        try:
            found = execute(sql, params, many, context)
        except BaseException:
            if self._silent is None:
                self._has_ended(connection)
            raise
        self._has_ended(connection)
        return found

    def _has_ended(self, connection: Any) -> None:
        with self._lock:
            if any(one is connection for one in self._shards):
                self._at_work.discard(connection)

    def ring(self) -> None:
        """Stop everybody: the time is up."""
        with self._lock:
            done = {*self._stops} - self._at_work
            left = [one for one in self._shards if one not in done]
            self._silent = [one.alias for one in left or [*self._at_work] or self._used]
            told = [*self._stops]
        while not self._over.is_set():
            with self._stopping:
                for connection in told:
                    if not self._over.is_set():
                        with contextlib.suppress(Exception):
                            self._stops[connection]()
            self._over.wait(AGAIN)
            with self._lock:
                told = [*self._at_work]

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def _error(self) -> DeadlineExceeded:
        silent = ", ".join(map(repr, dict.fromkeys(self._silent or ())))
        fact = f"before {silent} had answered a query" if silent else "before a query"
        end = "" if silent else " was sent"
        return DeadlineExceeded(
            f"The deadline of {self.end.seconds:g} s passed {fact} on "
            f"{self._cluster!r}{end}.",
            hint="Ask for less (`manage.py shoal explain` shows the plan), or give it "
            'more time: `with deadline(...)`, or "TIMEOUT".',
        )


_watch: ContextVar[Watch | None] = ContextVar("shoal.watch", default=None)


def watched(connection: Any, *, is_shard: bool = True) -> Any:
    """Return the connection, and let the query at work note that it uses it."""
    watch = _watch.get()
    if watch is not None:
        watch.add(connection, is_shard=is_shard)
    return connection
