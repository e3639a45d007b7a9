"""
What an operator asks of dead letters. Takes aliases and ids, changes the rows.

Where a database cannot be asked, others are: delivering says of that one what is wrong.
"""

from collections.abc import Callable, Sequence

from django.db import Error

from shoal.errors import OutboxError
from shoal.transactions.outbox.box import Box, opened
from shoal.types import Alias


def revive(aliases: Sequence[Alias], ids: Sequence[str] = ()) -> int:
    """
    Let dead letters be tried again, now, as if for the first time.

    Without ids all of them. Returns how many. Raises `OutboxError` for an id that is
    no dead letter's, once the others are revived.
    """
    counts: list[int] = []
    away = _each(aliases, lambda box: counts.append(box.revive(ids)))
    count = sum(counts)
    if ids and count < len(set(ids)):
        raise OutboxError(
            f"{len(set(ids)) - count} of these messages are not dead letters: "
            f"{', '.join(ids)}.{away}",
            hint="`manage.py shoal status` lists them.",
        )
    return count


def drop(aliases: Sequence[Alias], ids: Sequence[str]) -> int:
    """
    Delete messages, dead or not; those behind them in their keys can be delivered.

    Waits for a message that is being delivered. Raises `OutboxError` for an unknown
    id, once the others are deleted.
    """
    left = list(dict.fromkeys(ids))
    if not left:
        return 0

    def drop_in(box: Box) -> None:
        left[:] = [id for id in left if not box.drop(id)]

    away = _each(aliases, drop_in)
    if left:
        raise OutboxError(
            f"No message has the id {left[0]!r}.{away}",
            hint="`manage.py shoal status` lists dead letters. It may be delivered by "
            "now.",
        )
    return len(set(ids))


def _each(aliases: Sequence[Alias], ask: Callable[[Box], None]) -> str:
    """Ask each database that has messages; return a sentence about those that fail."""
    away = []
    for alias in aliases:
        try:
            with opened(alias) as box:
                if box is not None and box.is_there():
                    ask(box)
        except Error:
            away.append(alias)
    return f" {', '.join(map(repr, away))} could not be asked." if away else ""
