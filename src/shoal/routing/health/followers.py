"""
The threads of a watch: one for each server, which looks at it again and again, and one
that looks after these. They tell the watch what they see, and decide nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from shoal.routing.health.asking import Asker
from shoal.routing.health.values import Health, Look
from shoal.topology import Cluster
from shoal.types import Alias

PARKED_AFTER = 60.0
"""Seconds after the last read of a cluster until its servers are left in peace."""


class Watched(Protocol):
    """What these threads need of their watch."""

    health: Mapping[Alias, Health]

    @property
    def is_stopped(self) -> bool: ...
    def wait_until_awake(self) -> None: ...
    def saw(self, edition: Cluster, alias: Alias, look: Look) -> None: ...
    def failed(self, alias: Alias, error: str) -> None: ...
    def pause(self, edition: Cluster, alias: Alias, failures: int) -> float: ...
    def tick(self) -> None: ...
    def park(self) -> None: ...


class Follower(threading.Thread):
    """Looks at one server, as long as its watch goes on."""

    def __init__(
        self,
        watch: Watched,
        edition: Cluster,
        alias: Alias,
        asker: Callable[[Alias, bool], Asker],
    ) -> None:
        # A daemon: a server that never answers must not keep the process from ending.
        super().__init__(name=f"shoal-watch-{alias}", daemon=True)
        self.alias = alias
        self.asking_since: float | None = None
        self._watch, self._edition, self._make = watch, edition, asker
        self._hurried = threading.Event()
        self._asker: Asker | None = None

    def hurry(self, *, anew: bool = False) -> None:
        """Look now, and on a new connection if it is to be `anew`."""
        if anew and self._asker is not None:
            self._asker.renew()
        self._hurried.set()

    def give_up(self) -> None:
        if self._asker is not None:
            self._asker.give_up()

    def run(self) -> None:
        failures = 0
        try:
            while not self._watch.is_stopped:
                self._watch.wait_until_awake()
                self._hurried.clear()
                if self._watch.is_stopped:
                    return
                failures = 0 if self._look() else failures + 1
                pause = self._watch.pause(self._edition, self.alias, failures)
                self._hurried.wait(pause)
        finally:
            if self._asker is not None:
                self._asker.close()

    def _look(self) -> bool:
        self.asking_since = time.monotonic()
        try:
            if self._asker is None:
                of_replica = self.alias != self._edition.primary
                self._asker = self._make(self.alias, of_replica)
            look = self._asker.ask()
            self._watch.saw(self._edition, self.alias, look)
        except Exception as error:  # A driver that is not installed, too.
            line = self._asker.line(error) if self._asker else type(error).__name__
            self._watch.failed(self.alias, line)
            return False
        finally:
            self.asking_since = None
        if self._watch.health[self.alias].state not in ("promoted", "demoted"):
            return True
        # Its name may lead to another server by the next time.
        self._asker.renew()
        return False


class Ticker(threading.Thread):
    """Watches the watchers."""

    EVERY = 0.1

    def __init__(self, watch: Watched) -> None:
        super().__init__(name="shoal-watch", daemon=True)
        self._watch = watch

    def run(self) -> None:
        ticks = 0
        while not self._watch.is_stopped:
            self._watch.wait_until_awake()
            time.sleep(self.EVERY)
            self._watch.tick()
            ticks += 1
            if ticks % round(PARKED_AFTER / self.EVERY) == 0:
                self._watch.park()
