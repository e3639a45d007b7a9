"""
Takes the same question for several shards, asks all of them at the same time.

A few threads do it that stay. Each uses the connection of the thread that asks, while
that one waits. If one shard fails, the others are told to stop.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from shoal.sharding.gather import naming
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

MOST_AT_ONCE = 32
"""Threads, over all that ask."""
STOP_WITHIN = 2.0
"""Seconds in which a server has to take the order to stop."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one shard is asked, on a cursor that is open."""

    alias: Alias
    connection: Any
    cursor: Any

    def run(self, sql: str, params: Any) -> None:
        with naming(self.alias):
            self.cursor.execute(sql, params)


def ask(asked: Sequence[Asked], sql: str, params: Any) -> None:
    """Run the statement on each; raise the first error once all have ended."""
    if len(asked) == 1 or asked[0].connection.vendor == "sqlite":
        for one in asked:
            one.run(sql, params)
        return
    first, *rest = asked
    futures = {_submit(one.run, sql, params): one for one in rest}
    try:
        first.run(sql, params)
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        _stop([one for f, one in futures.items() if not (f.cancel() or f.done())])
        wait(futures)


def _stop(asked: Sequence[Asked]) -> None:
    for one in asked:
        with contextlib.suppress(Exception):
            _STOPS[one.connection.vendor](one.connection)


def _stop_postgresql(connection: Any) -> None:
    connection.connection.cancel_safe(timeout=STOP_WITHIN)


def _stop_mysql(connection: Any) -> None:
    apart = open_apart(connection.alias)
    try:
        with apart.cursor() as cursor:
            cursor.execute(f"KILL QUERY {connection.connection.thread_id()}")
    finally:
        close(apart)


_STOPS: dict[str, Callable[[Any], None]] = {
    "postgresql": _stop_postgresql,
    "mysql": _stop_mysql,
}

_threads: ThreadPoolExecutor | None = None


def _submit(run: Callable[..., None], *args: Any) -> "Future[None]":
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="shoal-shards")
    return _threads.submit(copy_context().run, run, *args)


def _forget() -> None:
    """Threads do not come along into a new process."""
    global _threads
    _threads = None


os.register_at_fork(after_in_child=_forget)
