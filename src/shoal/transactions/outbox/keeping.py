"""
Remembers on a cluster which messages it has received; forgets what cannot come again.

A receipt may go once its source lists the message no more. It stays for a while all
the same: a source that was restored, or failed over to a server that lags, lists it
again.
"""

from typing import TYPE_CHECKING, Any

from django.db import connections

from shoal.transactions.outbox.moments import NOW
from shoal.transactions.outbox.own_connection import change
from shoal.transactions.outbox.values import Message
from shoal.types import Alias

if TYPE_CHECKING:
    from shoal.placement.control import Control

KEPT_FOR = 7 * 86400.0
"""Seconds that a receipt is kept."""
_MANY = 500
_COLUMNS = '("message", "receiver", "source", "at")'
_INSERT = {
    "postgresql": "INSERT INTO {row} ON CONFLICT DO NOTHING",
    "mysql": "INSERT IGNORE INTO {row}",
    "sqlite": "INSERT OR IGNORE INTO {row}",
}


def note(alias: Alias, message: Message, receiver: str, source: str) -> bool:
    """
    Write a receipt, and say whether there was none.

    Waits for another worker who is writing the same one, and is told what came of it.
    """
    vendor = connections[alias].vendor
    row = f'"shoal_received" {_COLUMNS} VALUES (%s, %s, %s, {NOW[vendor]})'
    sql = _INSERT[vendor].format(row=row)
    return change(alias, sql, message.id, receiver, source) == 1


def old_sources(there: "Control", kept_for: float = KEPT_FOR) -> list[str]:
    """Return of which sources there are receipts that might be dropped."""
    rows = there.run(
        'SELECT DISTINCT "source" FROM "shoal_received" '
        f'WHERE "at" < {NOW[there.vendor]} - %s',
        kept_for,
    )
    return [source for (source,) in rows]


def forget(
    there: "Control", here: "Control", source: str, kept_for: float = KEPT_FOR
) -> int:
    """
    Drop old receipts `there` of messages that the source, `here`, lists no more.

    A message is committed before it is received, so one that is not seen was deleted.
    Returns how many were dropped.
    """
    count, last = 0, -1.0
    old = f'"at" < {NOW[there.vendor]} - %s'
    while True:
        rows = there.run(
            'SELECT "message", "at" FROM "shoal_received" '
            f'WHERE "source" = %s AND {old} AND "at" > %s '
            f'ORDER BY "at" LIMIT {_MANY}',
            source,
            kept_for,
            last,
        )
        if not rows:
            return count
        gone = {message for message, _ in rows} - _listed(here, rows)
        if gone:
            count += there.change(
                f'DELETE FROM "shoal_received" WHERE {old} '
                f'AND "message" IN ({_marks(gone)})',
                kept_for,
                *gone,
            )
        last = rows[-1][1]


def _listed(here: "Control", rows: Any) -> set[str]:
    messages = {message for message, _ in rows}
    sql = (
        f'SELECT "message" FROM "shoal_message" WHERE "message" IN ({_marks(messages)})'
    )
    return {message for (message,) in here.run(sql, *messages)}


def _marks(values: Any) -> str:
    return ", ".join(["%s"] * len(values))
