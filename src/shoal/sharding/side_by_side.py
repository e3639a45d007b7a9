"""
Takes questions for several shards, asks all of them at the same time.

A few threads do it that stay. Each uses the connection of the thread that asks, while
that one waits. If one shard fails, the others are told to stop.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from shoal.routing.context import current_unit
from shoal.sharding.naming import naming
from shoal.sharding.stopping import STOP_WITHIN, stop_of
from shoal.types import Alias

MOST_AT_ONCE = 32
"""Threads, over all that ask."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What one shard is asked, on a cursor that is open."""

    alias: Alias
    connection: Any
    cursor: Any


def ask(asked: Sequence[Asked], sql: str, params: Any) -> None:
    """Run the statement on each; raise the first error once all have ended."""
    *others, last = asked
    with Question() as question:
        for one in others:
            question.hand(one, sql, params)
        question.put(last, sql, params)


class Question:
    """
    Statements for several shards, until all have ended or one has failed.

    A block: it is left once nobody is at work, with the first error if there is one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handed: dict[Future[None], Callable[[], None]] = {}
        self._stops: dict[Asked | None, Callable[[], Any]] = {}
        """What stops those that are at work."""
        self._error: BaseException | None = None

    def __enter__(self) -> "Question":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                self.finish()
        except BaseException as caught:
            error = caught
        if error is None:
            # They know of us, and we of them.
            self._handed.clear()
            return
        # Also Ctrl-C: nobody may leave while a thread uses the connections.
        self.fail(error)
        begun = [future for future in self._handed if not future.cancel()]
        while wait(begun, timeout=STOP_WITHIN).not_done:
            self.stop()
        assert self._error is not None
        raise self._error

    def hand(self, one: Asked, sql: str, params: Any) -> None:
        """Let a thread put the statement, and go on; files are asked in turn."""
        if one.connection.vendor == "sqlite":
            self.put(one, sql, params)
            return
        self._begin(one)
        # What a thread writes, the unit of work of the asking one has written.
        current_unit()
        run = partial(self._run, one, sql, params)
        self._handed[_submit(run)] = run

    def finish(self) -> None:
        """Wait until all have ended, or raise the first error."""
        for future, run in [*self._handed.items()]:
            # All threads may be at work for those who wait for what we have locked.
            if future.cancel():
                del self._handed[future]
                run()
        self.ends_within(None)

    def ends_within(self, seconds: float | None) -> bool:
        """Wait, and say whether all have ended by then, or raise the first error."""
        found = wait(self._handed, timeout=seconds, return_when=FIRST_EXCEPTION)
        if self._error is not None:
            raise self._error
        return not found.not_done

    def at_work(self) -> list[Asked]:
        """Return the shards that have not answered, also where none has begun."""
        with self._lock:
            return [one for one in self._stops if one is not None]

    def put(self, one: Asked, sql: str, params: Any) -> None:
        """Run the statement on one shard; if it fails there, stop the others."""
        self._begin(one)
        self._run(one, sql, params)

    def _begin(self, one: Asked) -> None:
        if self._error is not None:
            raise self._error
        with self._lock:
            self._stops[one] = stop_of(one.connection)

    def _run(self, one: Asked, sql: str, params: Any) -> None:
        if self._error is not None:
            return
        try:
            with naming(one.alias):
                one.cursor.execute(sql, params)
        except BaseException as error:
            self.fail(error, at=one)
            raise
        finally:
            with self._lock:
                self._stops.pop(one, None)

    def fail(self, error: BaseException, *, at: Asked | None = None) -> None:
        """Keep the first error, and stop the others then."""
        with self._lock:
            is_first = self._error is None
            if is_first:
                self._error = error
            self._stops.pop(at, None)
        if is_first:
            self.stop()

    def stop(self) -> None:
        """Stop it where it is at work; what only begins may not take notice."""
        with self._lock:
            others = list(self._stops.values())
        for stop in others:
            with contextlib.suppress(Exception):
                stop()


def at_once(works: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    """
    Do all of them at the same time, to the end; return what each has raised.

    The last one is done in this thread, and nobody is told to stop: not by an error of
    another, nor by Ctrl-C or what else a signal raises here, which is raised when all
    have ended.
    """
    raised: list[BaseException | None] = [None] * len(works)

    def run(index: int) -> None:
        try:
            works[index]()
        except BaseException as error:
            raised[index] = error

    begun = {_submit(run, index): index for index in range(len(works) - 1)}
    run(len(works) - 1)
    for future, index in begun.items():
        if future.cancel():
            # All threads are at work.
            run(index)
    stopped: BaseException | None = None
    while not all(future.done() for future in begun):
        try:
            wait(begun)
        except BaseException as error:
            stopped = error
    if stopped is not None:
        raise stopped
    return raised


_threads: ThreadPoolExecutor | None = None


def _submit(run: Callable[..., None], *args: Any) -> "Future[None]":
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="shoal-shards")
    claimed = threading.Lock()

    def once() -> None:
        # What was queued when no thread could begin is still in the queue.
        if claimed.acquire(blocking=False):
            run(*args)

    try:
        return _threads.submit(copy_context().run, once)
    except RuntimeError:
        # Python is about to end, or no further thread can begin.
        done: Future[None] = Future()
        with contextlib.suppress(Exception):
            once()
        done.set_result(None)
        return done


def _forget() -> None:
    """Threads do not come along into a new process."""
    global _threads
    _threads = None


os.register_at_fork(after_in_child=_forget)
