"""Takes the messages of one database, tries all that are due; keeps the tally."""

import random
from collections import deque
from collections.abc import Callable

from shoal.transactions.outbox.attempting import Attempts, Outcome
from shoal.transactions.outbox.box import Box
from shoal.transactions.outbox.receiving import registered
from shoal.transactions.outbox.values import Tally

BATCH = 500
IN_A_ROW = 500
"""Messages of one key, before others have their turn."""


class Drain:
    """A worker at one database."""

    def __init__(
        self, box: Box, tally: Tally, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        self.box, self.tally, self.may_go_on = box, tally, may_go_on
        self.attempts = Attempts(box)

    def empty(self) -> None:
        """Go on until nothing is due that is not somebody else's."""
        while self.round():
            pass

    def round(self) -> bool:
        """Try what is due now, up to a batch; say whether anything was tried."""
        before = self.tally.tried
        numbers = deque(self.box.due(registered.topics, BATCH))
        while numbers and self.may_go_on():
            if self._try(numbers.popleft()) == "missed":
                # Somebody is at work there: begin elsewhere.
                random.shuffle(numbers)
        return self.tally.tried > before and self.may_go_on()

    def _try(self, number: int) -> Outcome:
        """Try a message, and those of its key that wait for it."""
        outcome, row = self.attempts.make(number)
        self._count(outcome)
        key = row.message.key if row is not None else None
        last, left = outcome, IN_A_ROW
        while key is not None and last == "delivered" and left and self.may_go_on():
            following = self.box.next_of(key)
            if following is None:
                break
            last, _ = self.attempts.make(following)
            self._count(last)
            left -= 1
        return outcome

    def _count(self, outcome: Outcome) -> None:
        self.tally.delivered += outcome == "delivered"
        self.tally.failed += outcome == "failed"

    def look_around(self) -> None:
        """Note what is left, and why."""
        self.tally.unheard = self.box.unheard(registered.topics)
        self.tally.left = self.box.waiting()
