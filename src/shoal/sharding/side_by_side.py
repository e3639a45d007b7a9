"""
Takes the same question for several shards, asks all of them at the same time.

A few threads do it that stay. Each uses the connection of the thread that asks, while
that one waits. If one shard fails, the others are told to stop.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from shoal.sharding.naming import naming
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

MOST_AT_ONCE = 32
"""Threads, over all that ask."""
STOP_WITHIN = 2.0
"""Seconds in which a server has to take the order to stop."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What one shard is asked, on a cursor that is open."""

    alias: Alias
    connection: Any
    cursor: Any


def ask(asked: Sequence[Asked], sql: str, params: Any) -> None:
    """Run the statement on each; raise the first error once all have ended."""
    question = Question(asked, sql, params)
    if len(asked) == 1 or asked[0].connection.vendor == "sqlite":
        for one in asked:
            question.put(one)
        return
    first, *rest = asked
    futures: list[Future[None]] = []
    try:
        futures += (_submit(question.put, one) for one in rest)
        question.put(first)
        wait(futures)
    except BaseException as error:
        # Also Ctrl-C: nobody may leave while a thread uses the connections.
        question.fail(error)
        while wait(futures, timeout=STOP_WITHIN).not_done:
            question.stop()
    question.raise_first()


class Question:
    """One statement for several shards, until all have answered or one has failed."""

    def __init__(self, asked: Sequence[Asked], sql: str, params: Any) -> None:
        self._sql, self._params = sql, params
        self._lock = threading.Lock()
        self._at_work: set[Asked | None] = {*asked}
        self._stops: Mapping[Asked | None, Callable[[], Any]] = {
            one: _stop_of(one.connection) for one in asked
        }
        self._error: BaseException | None = None

    def put(self, one: Asked) -> None:
        """Run it on one shard; if it fails there, stop it on the others."""
        if self._error is not None:
            return
        try:
            with naming(one.alias):
                one.cursor.execute(self._sql, self._params)
        except BaseException as error:
            self.fail(error, at=one)
            raise
        finally:
            with self._lock:
                self._at_work.discard(one)

    def fail(self, error: BaseException, *, at: Asked | None = None) -> None:
        """Keep the first error, and stop the others then."""
        with self._lock:
            is_first = self._error is None
            if is_first:
                self._error = error
            self._at_work.discard(at)
        if is_first:
            self.stop()

    def stop(self) -> None:
        """Stop it where it is at work; what only begins may not take notice."""
        with self._lock:
            others = list(self._at_work)
        for other in others:
            with contextlib.suppress(Exception):
                self._stops[other]()

    def raise_first(self) -> None:
        if self._error is not None:
            raise self._error


def _stop_of(connection: Any) -> Callable[[], None]:
    """Return what stops the statement that is about to run on a connection."""
    raw = connection.connection
    if connection.vendor == "postgresql":
        return partial(raw.cancel_safe, timeout=STOP_WITHIN)
    if connection.vendor == "mysql":
        # Nobody may ask the connection for it while it is in use.
        return partial(_kill, connection.alias, raw.thread_id())
    return lambda: None


def _kill(alias: Alias, number: int) -> None:
    apart = open_apart(alias)
    try:
        with apart.cursor() as cursor:
            cursor.execute(f"KILL QUERY {number}")
    finally:
        close(apart)


_threads: ThreadPoolExecutor | None = None


def _submit(run: Callable[..., None], *args: Any) -> "Future[None]":
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="shoal-shards")
    try:
        return _threads.submit(copy_context().run, run, *args)
    except RuntimeError:
        # Python is about to end, and no thread begins any more.
        done: Future[None] = Future()
        with contextlib.suppress(Exception):
            run(*args)
        done.set_result(None)
        return done


def _forget() -> None:
    """Threads do not come along into a new process."""
    global _threads
    _threads = None


os.register_at_fork(after_in_child=_forget)
