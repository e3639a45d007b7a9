"""Takes databases, delivers what comes in them until it is told to stop."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event

from django.db import Error, close_old_connections

from shoal.errors import ShoalError
from shoal.transactions.outbox.box import Box, opened
from shoal.transactions.outbox.draining import Drain
from shoal.transactions.outbox.sources import discover, refuse_inside, sources
from shoal.transactions.outbox.tidying import tidy
from shoal.transactions.outbox.values import Tally
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions.outbox")

AWAY = 5.0
"""Seconds in which a database that could not be asked is left alone."""
TIDY_EVERY = 3600.0


class Standing:
    """A worker that stays. One batch of each database in turn."""

    def __init__(self, aliases: Sequence[Alias], *, every: float, stop: Event) -> None:
        self.aliases, self.every, self.stop = aliases, every, stop
        self.tallies = {alias: Tally() for alias in aliases}
        self._open: dict[Alias, tuple[ExitStack, Drain]] = {}
        self._not_before: dict[Alias, float] = {}

    def run(self) -> None:
        refuse_inside()
        discover()
        tidied = time.monotonic()
        try:
            while not self.stop.is_set():
                found = [self._round(alias) for alias in self.aliases]
                close_old_connections()
                if time.monotonic() - tidied > TIDY_EVERY:
                    tidy(sources())
                    tidied = time.monotonic()
                if not any(found):
                    self.stop.wait(self.every)
        finally:
            for alias in list(self._open):
                self._look_last(alias)

    def _round(self, alias: Alias) -> bool:
        if time.monotonic() < self._not_before.get(alias, 0.0) or self.stop.is_set():
            return False
        try:
            drain = self._drain(alias)
            found = drain is not None and drain.round()
        except (Error, ShoalError) as error:
            self._lose(alias, str(error).strip())
            return False
        self.tallies[alias].error = None
        return found

    def _drain(self, alias: Alias) -> Drain | None:
        """Return the worker at a database that is open, once its tables are there."""
        if alias in self._open:
            return self._open[alias][1]
        stack = ExitStack()
        box: Box | None = stack.enter_context(opened(alias))
        if box is None or not box.is_there():
            stack.close()
            return None
        drain = Drain(box, self.tallies[alias], lambda: not self.stop.is_set())
        self._open[alias] = stack, drain
        return drain

    def _lose(self, alias: Alias, reason: str) -> None:
        if self.tallies[alias].error != reason:
            logger.warning(
                "source failed",
                extra={"event": "source_failed", "alias": alias, "reason": reason},
            )
        self.tallies[alias].error = reason
        self._not_before[alias] = time.monotonic() + AWAY
        if alias in self._open:
            stack, _ = self._open.pop(alias)
            stack.close()

    def _look_last(self, alias: Alias) -> None:
        try:
            self._open[alias][1].look_around()
        except (Error, ShoalError) as error:
            self.tallies[alias].error = str(error).strip()
        stack, _ = self._open.pop(alias)
        stack.close()
