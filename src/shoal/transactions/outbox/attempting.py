"""
One attempt to deliver one message. Takes its number, says what came of it.

Two transactions on the source. The first counts the attempt, so that a message which
kills its worker is a dead letter in the end as well. The second locks the message while
its receivers run and then deletes it. What a receiver writes on a cluster is committed
before that, with a receipt, by which a repetition knows that it is one.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from django.db import OperationalError, transaction

from shoal.routing import unit_of_work, writes
from shoal.routing.context import current_unit
from shoal.topology import get_topology
from shoal.transactions.lines import recordable
from shoal.transactions.losing import refuse_loss
from shoal.transactions.outbox.box import Box, Row
from shoal.transactions.outbox.receiving import Receiver, registered, run
from shoal.transactions.outbox.values import Retry

logger = logging.getLogger("shoal.transactions.outbox")

Outcome: TypeAlias = Literal["delivered", "failed", "missed"]
"""`missed`: somebody else has it, or it may not be tried now."""
_LINE = 500
_LAST = 60.0
"""
Seconds at least that the last attempt has before the message is a dead letter: between
its count and its lock, another worker would take the one at work for gone.
"""
_GONE = "The worker was gone before the end of each attempt."


class Attempts:
    """Attempts on the messages of one database."""

    def __init__(self, box: Box, *, raises: bool = False) -> None:
        self.box, self.raises = box, raises
        self.identity = box.identity()
        box.stay()

    def make(self, number: int) -> tuple[Outcome, Row | None]:
        """Try a message, and return it as it was tried."""
        try:
            begun = self._begin(number)
            if not isinstance(begun, Row):
                return begun, None
            return self._finish(begun), begun
        except OperationalError as error:
            if not self.box.is_busy(error):
                raise
            return "missed", None

    def _begin(self, number: int) -> Row | Outcome:
        with self.box.transaction():
            row = self.box.lock_due(number, at_any_time=self.raises)
            receivers = registered.of(row.message.topic) if row else []
            if row is None or not receivers:
                return "missed"
            retry = _longest(receivers)
            if row.message.attempts >= retry.attempts:
                self.box.bury(row, _GONE)
                _tell("message_dead", row, logging.ERROR, error=_GONE)
                return "failed"
            number = row.message.attempts + 1
            lease = max(retry.pause(number), _LAST if number >= retry.attempts else 0)
            begun = self.box.begin_attempt(row, lease)
            _tell("attempt_counted", begun)
        _tell("attempt_begun", begun)
        return begun

    def _finish(self, begun: Row) -> Outcome:
        with self.box.transaction():
            row = self.box.lock_again(begun)
            if row is None:
                return "missed"
            _tell("message_locked", row)
            failures = self._run_receivers(row)
            if failures:
                self._fail(row, failures)
                return "failed"
            self.box.delete(row)
            _tell("message_deleted", row)
        _tell("message_delivered", row)
        return "delivered"

    def _run_receivers(self, row: Row) -> list[tuple[Receiver, Exception]]:
        """Run those that have not received it, and all of them though one fails."""
        failures: list[tuple[Receiver, Exception]] = []
        for receiver in registered.of(row.message.topic):
            if receiver.name in row.done:
                continue
            try:
                self._run(receiver, row)
            except Exception as error:
                if self.raises:
                    raise
                failures.append((receiver, error))
        return failures

    def _run(self, receiver: Receiver, row: Row) -> None:
        with unit_of_work(), self._inside():
            self._doubt()
            run(receiver, row.message, self.identity)
            if not self.box.is_apart:
                refuse_loss(f"The receiver {receiver.name!r}")

    def _inside(self) -> AbstractContextManager[Any]:
        """Where the worker's transaction is the project's: undo what a receiver did."""
        if self.box.is_apart:
            return nullcontext()
        return transaction.atomic(using=self.box.alias)

    def _doubt(self) -> None:
        """Let a receiver read from the source as if it had written there itself."""
        member = get_topology().by_alias.get(self.box.alias)
        if member is not None and member[1].replicas:
            writes.committed(current_unit(), member[1].name)

    def _fail(self, row: Row, failures: Sequence[tuple[Receiver, Exception]]) -> None:
        done = _done(row, [receiver.name for receiver, _ in failures])
        retry = _longest([receiver for receiver, _ in failures])
        said = "\n".join(f"{r.name}: {recordable(why, _LINE)}" for r, why in failures)
        attempts = row.message.attempts
        if attempts >= retry.attempts:
            self.box.bury(done, said)
            _tell("message_dead", row, logging.ERROR, error=said)
            return
        self.box.put_back(done, retry.pause(attempts), said)
        _tell("attempt_failed", row, logging.WARNING, failures[0][1], error=said)


def _longest(receivers: Sequence[Receiver]) -> Retry:
    """Return how the most patient of them wants to be tried."""
    return max((one.retry for one in receivers), key=lambda retry: retry.attempts)


def _done(row: Row, failed: Sequence[str]) -> Row:
    names = [one.name for one in registered.of(row.message.topic)]
    done = [*row.done, *(name for name in names if name not in failed)]
    return replace(row, done=tuple(dict.fromkeys(done)))


def _tell(
    event: str,
    row: Row,
    level: int = logging.DEBUG,
    exc_info: Exception | None = None,
    **more: Any,
) -> None:
    message = row.message
    logger.log(
        level,
        event.replace("_", " "),
        exc_info=exc_info,
        extra={
            "event": event,
            "message_id": message.id,
            "topic": message.topic,
            "key": message.key,
            "attempts": message.attempts,
            "alias": message.using,
            **more,
        },
    )
