"""
Takes the messages that a test has sent, delivers them in the test's transaction.

Imports the outbox when it is called: pytest imports this before there is a project.
"""

from typing import TYPE_CHECKING

from django.db import connections

from shoal.errors import OutboxError
from shoal.types import Alias

if TYPE_CHECKING:
    from shoal.transactions.outbox import Message
    from shoal.transactions.outbox.box import Box

MOST = 1000
"""Messages that receivers may send in turn."""


def deliver_all(*using: Alias) -> "list[Message]":
    """
    Deliver what was sent in these databases, or in any; return what was delivered.

    In the test's own transaction, and what receivers send as well. An error of a
    receiver is raised; so is `OutboxError` for a message that nobody receives.
    """
    from shoal.transactions.outbox.box import in_own_transaction
    from shoal.transactions.outbox.sources import discover, sources

    discover()
    delivered: list[Message] = []
    most: int | None = None
    while True:
        before = len(delivered)
        aliases = using or tuple(filter(_is_allowed, sources()))
        boxes = [box for box in map(in_own_transaction, aliases) if box.is_there()]
        if most is None:
            most = MOST + sum(box.waiting().waiting for box in boxes)
        for box in boxes:
            delivered += _deliver(box)
        if len(delivered) == before:
            return delivered
        if len(delivered) > most:
            raise OutboxError(
                f"Receivers have sent more than {MOST} messages, and there may be more "
                "to come.",
                hint="Does a receiver send what it receives?",
            )


def _deliver(box: "Box") -> "list[Message]":
    from shoal.transactions.outbox.attempting import Attempts
    from shoal.transactions.outbox.receiving import registered

    unheard = box.unheard(registered.topics)
    if unheard:
        topic = next(iter(unheard))
        raise OutboxError(
            f"Nobody receives {topic!r}, which was sent in {box.alias!r}.",
            hint=f"Put @outbox.receiver({topic!r}) into the receivers.py of an app.",
        )
    attempts = Attempts(box, raises=True)
    found = []
    for number in box.due(registered.topics, MOST, at_any_time=True):
        outcome, row = attempts.make(number)
        if row is not None and outcome == "delivered":
            found.append(row.message)
    return found


def _is_allowed(alias: Alias) -> bool:
    """Say whether the test may use a database."""
    try:
        connections[alias].cursor().close()
    except AssertionError:
        return False
    return True
