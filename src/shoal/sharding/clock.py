"""Takes a time and who is to be told, tells them when it has come. One thread does."""

import contextlib
import heapq
import itertools
import os
import threading
import time
from typing import Protocol

AGAIN = 0.1
"""Seconds after which it is tried again where no thread can begin."""
LONGEST = 3600.0
"""Seconds of one wait: there are times that no lock waits for."""


class Sleeper(Protocol):
    """Whoever waits for a time, or does not any more."""

    @property
    def is_over(self) -> bool: ...

    def ring(self) -> None: ...


class Clock:
    """Times that are to come, the next first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Sleeper]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, at: float, sleeper: Sleeper) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (at, next(self._numbers), sleeper))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="shoal-clock", daemon=True
                )
                # Where Python is about to end, no thread begins any more.
                with contextlib.suppress(RuntimeError):
                    self._thread.start()
            elif self._waiting[0][2] is sleeper:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            sleeper = self._next()
            if not sleeper.is_over:
                # A server that is deaf must not keep others from being told.
                ringing = threading.Thread(
                    target=sleeper.ring, name="shoal-deadline", daemon=True
                )
                try:
                    ringing.start()
                except RuntimeError:
                    # There are too many threads at the moment.
                    self.add(time.monotonic() + AGAIN, sleeper)
                    time.sleep(AGAIN)

    def _next(self) -> Sleeper:
        """Wait until a time has come, and return whose it is."""
        with self._changed:
            while True:
                while self._waiting and self._waiting[0][2].is_over:
                    heapq.heappop(self._waiting)
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(None if left is None else min(left, LONGEST))


_clock = Clock()


def ring_at(at: float, sleeper: Sleeper) -> None:
    """Call `ring()` in a thread of its own at a time of the monotonic clock."""
    _clock.add(at, sleeper)


def _forget() -> None:
    """Threads do not come along into a new process."""
    global _clock
    _clock = Clock()


os.register_at_fork(after_in_child=_forget)
