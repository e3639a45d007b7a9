"""
Takes a lab, gives replicas that fall behind at random and servers that count.

The lag is real: a replica stops replaying for up to three seconds, goes on, and stops
again.
"""

import contextlib
import random
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator
from typing import Any

from shoal.lab import Lab, LabServer
from shoal.routing.health import get_watch
from shoal.types import Alias

PAUSED_FOR = 3.0
"""Seconds at most for which a replica stands still."""
REPLAYS_FOR = 0.5
"""Seconds at most between two pauses."""
SAMPLED_EVERY = 0.1


@contextlib.contextmanager
def lagging(lab: Lab, replicas: tuple[Alias, ...], seed: int) -> Iterator[list[float]]:
    """Let each replica pause and go on for a block. Gives samples of their lags."""
    stopped = threading.Event()
    lags: list[float] = []
    threads = [
        threading.Thread(
            target=_pause_and_resume,
            args=(lab[alias], random.Random(f"{alias} {seed}"), stopped),
        )
        for alias in replicas
    ]
    threads.append(threading.Thread(target=_sample, args=(replicas, lags, stopped)))
    for thread in threads:
        thread.start()
    try:
        yield lags
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _pause_and_resume(
    server: LabServer, draw: random.Random, stopped: threading.Event
) -> None:
    while not stopped.is_set():
        with server.replay_paused():
            stopped.wait(draw.uniform(0, PAUSED_FOR))
        stopped.wait(draw.uniform(0, REPLAYS_FOR))


def _sample(
    replicas: tuple[Alias, ...], lags: list[float], stopped: threading.Event
) -> None:
    while not stopped.wait(SAMPLED_EVERY):
        found = (get_watch().health[alias].lag for alias in replicas)
        lags.extend(lag for lag in found if lag is not None)


statements: Tally[int] = Tally()
"""Statements sent so far, by thread: the application's or one of the watch's."""


def counting() -> type:
    """Return a cursor that counts what is sent, the question for a position too."""
    from django.db.backends.postgresql.base import Cursor

    class CountingCursor(Cursor):  # type: ignore[misc, valid-type]
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            statements[threading.get_ident()] += 1
            return super().execute(*args, **kwargs)

    return CountingCursor


class Asked:
    """The watch of this process, and how often somebody waits for its answer."""

    def __init__(self) -> None:
        self._watch = get_watch()
        self.times = 0
        self.waits: list[float] = []
        """Seconds, of those who were not told at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    def ask(self, *args: Any, **kwargs: Any) -> bool:
        began, known = time.perf_counter(), self._watch.health
        self.times += 1
        try:
            return self._watch.ask(*args, **kwargs)
        finally:
            # Whatever a server answers, it is put down in a new mapping.
            if self._watch.health is not known:
                self.waits.append(time.perf_counter() - began)
