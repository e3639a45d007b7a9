"""
Leads all workers through their steps, round by round; stops them where one fails.
"""

import contextlib
import signal
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from shoal.cli.migrate.steps import Ranks, Step, next_round
from shoal.cli.migrate.worker import Event, Worker
from shoal.sharding.stopping import STOP_WITHIN
from shoal.transactions import atomic
from shoal.types import Alias


class Watcher(Protocol):
    """Who shows what goes on."""

    def began(self, step: Step, aliases: Sequence[Alias]) -> None: ...
    def through(self, event: Event) -> None: ...
    def failed(self, alias: Alias, step: Step | None, error: BaseException) -> None: ...
    def stopping(self) -> None: ...


@dataclass(kw_only=True)
class Progress:
    """How far one alias came."""

    done: list[Step] = field(default_factory=list)
    failed: Step | None = None
    error: BaseException | None = None
    ended: bool = False


class Unwatched:
    """Shows nothing: before there is anything to see."""

    def began(self, step: Step, aliases: Sequence[Alias]) -> None: ...
    def through(self, event: Event) -> None: ...
    def failed(self, alias: Alias, step: Step | None, error: BaseException) -> None: ...
    def stopping(self) -> None: ...


class _Undone(Exception):
    """A migration has failed on one alias, so no other commits it."""


class Coordination:
    """Where all workers are."""

    def __init__(self, workers: Sequence[Worker], events: "SimpleQueue[Event]") -> None:
        self.workers: Mapping[Alias, Worker] = {w.alias: w for w in workers}
        self.progress = {worker.alias: Progress() for worker in workers}
        self.interrupted = False
        self._events = events
        self._watcher: Watcher = Unwatched()
        self._active = set(self.workers)
        self._waiting: dict[Alias, Step] = {}
        self._round: set[Alias] = set()
        self._held: dict[Alias, list[Event]] = {}
        """What is done on these aliases and not committed yet."""

    @property
    def errors(self) -> dict[Alias, BaseException]:
        return {a: p.error for a, p in self.progress.items() if p.error is not None}

    @property
    def finished(self) -> bool:
        """Whether every worker got through all that it had planned."""
        through = all(worker.after is not None for worker in self.workers.values())
        return through and not self.errors

    def prepare(self) -> None:
        """Let every worker connect and plan. With an error, all of them end here."""
        ready: set[Alias] = set()
        with self._none_left_waiting():
            for worker in self.workers.values():
                worker.start()
            while ready < self._active:
                event = self._next()
                if event.ready:
                    ready.add(event.alias)
        if self.errors:
            self.end()

    def end(self) -> None:
        """Let every worker end where it waits."""
        for alias in self._active:
            self.workers[alias].go(on=False)
        while self._active:
            self._next()

    def run(self, order: Ranks, watcher: Watcher) -> None:
        """Do all rounds; after a failure or an interruption finish the one at hand."""
        self._watcher = watcher
        with self._none_left_waiting():
            self._do(self._active)
            while self._active:
                if self.errors or self.interrupted:
                    self.end()
                else:
                    step, aliases = next_round(self._waiting, order)
                    watcher.began(step, aliases)
                    self._do_together(step, aliases)

    def _do_together(self, step: Step, aliases: Sequence[Alias]) -> None:
        """Do one migration on all aliases: on all or on none, where servers can."""
        joint = [alias for alias in aliases if self.workers[alias].can_join(step)]
        if not joint:
            self._do_step(step, aliases)
            return
        self._held = {alias: [] for alias in joint}
        try:
            with atomic(*joint):
                with self._none_left_at_work():
                    self._do_step(step, aliases)
                if self.errors:
                    raise _Undone
        except _Undone:
            pass
        except Exception as error:  # Whatever a server says to a commit.
            for alias in joint:
                mine = self.progress[alias]
                mine.failed, mine.error = step, error
                self._watcher.failed(alias, step, error)
        else:
            for event in (event for events in self._held.values() for event in events):
                self._is_through(event)
        finally:
            self._held = {}

    def _do_step(self, step: Step, aliases: Sequence[Alias]) -> None:
        """
        Do one migration on all aliases: side by side, or one after the other.

        Code that may write on every alias runs on one at a time: side by side, two of
        them could wait for each other's locks where no server sees the circle.
        """
        if any(self.workers[alias].runs_code(step) for alias in aliases):
            for alias in aliases:
                self._do([alias])
        else:
            self._do(aliases)

    def _do(self, aliases: Collection[Alias]) -> None:
        """Let some go on, until each of them waits again, or ended."""
        self._round = set(aliases)
        for alias in aliases:
            self._waiting.pop(alias, None)
        for alias in tuple(aliases):
            self.workers[alias].go()
        while self._round:
            self._next()

    @contextlib.contextmanager
    def _none_left_waiting(self) -> Iterator[None]:
        """Whatever breaks in here: let no thread wait for ever."""
        try:
            yield
        except BaseException:
            for alias in self._active:
                self.workers[alias].go(on=False)
            raise

    @contextlib.contextmanager
    def _none_left_at_work(self) -> Iterator[None]:
        """
        Whatever breaks in here: let no thread use a transaction that is rolled back.

        What a server does is cancelled, what Python does is waited for. Who presses
        Ctrl-C once more ends the process, and the servers roll back by themselves.
        """
        try:
            yield
        except BaseException:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            while self._round:
                for alias in self._round:
                    self.workers[alias].cancel()
                with contextlib.suppress(Empty):
                    event = self._events.get(timeout=STOP_WITHIN)
                    if event.waits is not None or event.ended:
                        self._round.discard(event.alias)
                    if event.ended:
                        self._active.discard(event.alias)
            raise

    def _next(self) -> Event:
        event = self._events.get()
        if event.interrupted:
            self.interrupted = True
            self._watcher.stopping()
            return event
        mine = self.progress[event.alias]
        if event.waits is not None:
            self._waiting[event.alias] = event.waits
            self._round.discard(event.alias)
        if event.through is not None:
            if event.alias in self._held:
                self._held[event.alias].append(event)
            else:
                self._is_through(event)
        if event.ended:
            self._ended(event, mine)
        return event

    def _is_through(self, event: Event) -> None:
        assert event.through is not None
        self.progress[event.alias].done.append(event.through)
        self._watcher.through(event)

    def _ended(self, event: Event, mine: Progress) -> None:
        self._active.discard(event.alias)
        self._round.discard(event.alias)
        self._waiting.pop(event.alias, None)
        mine.ended = True
        if event.error is not None:
            mine.error = event.error
            mine.failed = self.workers[event.alias].current
            self._watcher.failed(event.alias, mine.failed, event.error)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Take the first Ctrl-C as a wish to stop; the second one means now."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, before)
            self._events.put(Event(interrupted=True))

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
