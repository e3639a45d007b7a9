"""
The messages in one database, for a worker. Takes decisions, gives SQL.

Over a connection apart, so that a receiver runs outside of any transaction. On SQLite,
where one connection writes at a time, and in a test's own transaction it goes over the
project's connection, and a receiver runs inside of the worker's transaction.
"""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction

from shoal.models import MessageRow, ReceivedRow
from shoal.placement.control import Control, goes_apart, reached
from shoal.topology.probe.asking import is_missing_file
from shoal.transactions.decisions import identity_of
from shoal.transactions.lines import in_ascii
from shoal.transactions.outbox.moments import NOW
from shoal.transactions.outbox.values import Dead, Message, Waiting
from shoal.types import Alias

SHOWN = 20
"""Dead letters that are listed one by one."""
_KEY_LOCKS = 0x53484F4D
"""The first half of the advisory locks of PostgreSQL that stand for keys."""
_STAY = {
    "postgresql": "SET idle_in_transaction_session_timeout = 0",
    "mysql": "SET SESSION wait_timeout = 2147483",
}
_FIRST = (
    '(SELECT min("earlier"."id") FROM "shoal_message" AS "earlier" '
    'WHERE "earlier"."key" = {key}) = {id}'
)
"""
One look into the index for each message. `NOT EXISTS` would be the same, which
PostgreSQL makes a join of, and that takes a minute for 100,000 messages that its
statistics have not heard of.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A message that is locked, and who needs it no more."""

    number: int
    message: Message
    done: tuple[str, ...]


class Box:
    """The messages of one database."""

    def __init__(self, control: Control, *, is_apart: bool) -> None:
        self._control = control
        self.alias: Alias = control.connection.alias
        self.is_apart = is_apart
        self.now = NOW[control.vendor]
        self._held: list[str] = []

    @property
    def control(self) -> Control:
        """Open again what may have been closed, if it is the project's connection."""
        if not self.is_apart:
            self._control.connection.ensure_connection()
        return self._control

    def is_there(self) -> bool:
        """Say whether the tables are; if not, nothing was ever sent here."""
        return not self.control.missing((MessageRow, ReceivedRow))

    def identity(self) -> str:
        """Return the name of the database that no other has."""
        return identity_of(self.control.connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, and let the locks of keys go after that."""
        try:
            if self.is_apart:
                with self.control.transaction():
                    yield
            else:
                with transaction.atomic(using=self.alias):
                    yield
        finally:
            while self._held:
                self.control.run("DO RELEASE_LOCK(%s)", self._held.pop())

    def stay(self) -> None:
        """Let the server keep the session while a receiver runs, however long."""
        if self.is_apart:
            self.control.run(_STAY[self.control.vendor])

    def is_busy(self, error: Exception) -> bool:
        """Say whether SQLite has waited in vain for whoever writes there."""
        return self.control.vendor == "sqlite" and "locked" in str(error)

    # What there is.

    def due(
        self, topics: Sequence[str], limit: int, *, at_any_time: bool = False
    ) -> list[int]:
        """Return the numbers of messages that may be tried now, the oldest first."""
        if not topics:
            return []
        first = _FIRST.format(key='m."key"', id='m."id"')
        rows = self.control.run(
            f'SELECT m."id" FROM "shoal_message" AS m WHERE m."dead" IS NULL '
            f'AND m."topic" IN ({_marks(topics)}) AND (m."key" IS NULL OR {first}) '
            f'AND ({self._is_due(at_any_time)}) ORDER BY m."id" LIMIT {int(limit)}',
            *topics,
        )
        return [number for (number,) in rows]

    def next_of(self, key: str) -> int | None:
        """Return the number of the first message of a key."""
        rows = self.control.run(
            'SELECT min("id") FROM "shoal_message" WHERE "key" = %s', key
        )
        found: int | None = rows[0][0]
        return found

    def unheard(self, topics: Sequence[str]) -> dict[str, int]:
        """Return how many messages have another topic than these."""
        other = f'AND "topic" NOT IN ({_marks(topics)})' if topics else ""
        rows = self.control.run(
            'SELECT "topic", count(*) FROM "shoal_message" WHERE "dead" IS NULL '
            f'{other} GROUP BY "topic" ORDER BY "topic"',
            *topics,
        )
        return dict(rows)

    def waiting(self) -> Waiting:
        """Return how many messages are here."""
        ((waiting, oldest, dead),) = self.control.run(
            'SELECT count(*) - count("dead"), '
            f'{self.now} - min(CASE WHEN "dead" IS NULL THEN "sent" END), '
            'count("dead") FROM "shoal_message"'
        )
        return Waiting(
            waiting=waiting,
            oldest=None if oldest is None else max(float(oldest), 0.0),
            dead=dead,
            dead_letters=tuple(self._dead()) if dead else (),
        )

    def _dead(self) -> Iterator[Dead]:
        rows = self.control.run(
            'SELECT "message", "topic", "key", "attempts", "error", '
            f'{self.now} - "sent" FROM "shoal_message" WHERE "dead" IS NOT NULL '
            f'ORDER BY "id" LIMIT {SHOWN}'
        )
        for id, topic, key, attempts, error, age in rows:
            yield Dead(
                id=id,
                topic=topic,
                key=key,
                attempts=attempts,
                error=error or "",
                age=max(float(age), 0.0),
            )

    # One message, inside of `transaction()`.

    def lock_due(self, number: int, *, at_any_time: bool = False) -> Row | None:
        """Lock a message that may be tried now; `None` if it may not, or is taken."""
        return self._locked(number, f"({self._is_due(at_any_time)})")

    def lock_again(self, row: Row) -> Row | None:
        """Lock a message that nobody has tried since."""
        return self._locked(row.number, '"attempts" = %s', row.message.attempts)

    def _is_due(self, at_any_time: bool) -> str:
        return "1 = 1" if at_any_time else f'"due" <= {self.now}'

    def _locked(self, number: int, condition: str, *params: Any) -> Row | None:
        if self.control.vendor == "sqlite":
            # Whoever writes first has the whole database until the commit.
            self.control.change(
                'UPDATE "shoal_message" SET "attempts" = "attempts" WHERE "id" = %s',
                number,
            )
        rows = self.control.run(
            'SELECT "message", "topic", "key", "body", "attempts", "sent", "done" '
            f'FROM "shoal_message" WHERE "id" = %s AND "dead" IS NULL AND {condition}'
            f"{self._for_update()}",
            number,
            *params,
        )
        if not rows:
            return None
        row = self._row(number, *rows[0])
        return row if self._is_first(row) else None

    def _for_update(self) -> str:
        features = self.control.connection.features
        if not features.has_select_for_update:
            return ""
        skip = features.has_select_for_update_skip_locked
        return " FOR UPDATE SKIP LOCKED" if skip else " FOR UPDATE"

    def _row(self, number: int, id: str, topic: str, key: Any, *rest: Any) -> Row:
        body, attempts, sent, done = rest
        message = Message(
            id=id,
            topic=topic,
            key=key,
            body=json.loads(body),
            attempts=attempts,
            sent=datetime.fromtimestamp(sent, UTC),
            using=self.alias,
        )
        return Row(number=number, message=message, done=tuple(json.loads(done)))

    def _is_first(self, row: Row) -> bool:
        """
        Say whether no earlier message of its key is there, nor any of them at work.

        Asked by a statement of its own, once the row is locked: one that is being
        delivered is seen until that is committed. The lock of the key is for a message
        with a smaller number whose transaction has committed only now.
        """
        key = row.message.key
        if key is None:
            return True
        lock, params = self._key_lock(key)
        first = _FIRST.format(key="%s", id="%s")
        ((is_mine, is_first),) = self.control.run(
            f"SELECT {lock}, {first}", *params, key, row.number
        )
        if is_mine and self.control.vendor == "mysql":
            self._held += params
        return bool(is_mine) and bool(is_first)

    def _key_lock(self, key: str) -> tuple[str, tuple[Any, ...]]:
        """Return what takes the lock of a key, or says that somebody has it."""
        if self.control.vendor == "postgresql":
            half = zlib.crc32(key.encode()) - 2**31
            return "pg_try_advisory_xact_lock(%s, %s)", (_KEY_LOCKS, half)
        if self.control.vendor == "mysql":
            # They are the server's, of all its databases.
            database = str(self.control.connection.settings_dict["NAME"])
            name = hashlib.sha256(f"{database}/{key}".encode()).hexdigest()[:40]
            return "GET_LOCK(%s, 0)", (f"shoal {name}",)
        return "1", ()

    def begin_attempt(self, row: Row, lease: float) -> Row:
        """Count an attempt, and let nobody begin another for so many seconds."""
        self.control.change(
            'UPDATE "shoal_message" SET "attempts" = "attempts" + 1, '
            f'"due" = {self.now} + %s WHERE "id" = %s',
            lease,
            row.number,
        )
        counted = vars(row.message) | {"attempts": row.message.attempts + 1}
        return Row(number=row.number, message=Message(**counted), done=row.done)

    def delete(self, row: Row) -> None:
        self.control.change('DELETE FROM "shoal_message" WHERE "id" = %s', row.number)

    def put_back(self, row: Row, pause: float, error: str) -> None:
        """Let it wait for its next attempt."""
        self._fail(row, f'"due" = {self.now} + %s', pause, error)

    def bury(self, row: Row, error: str) -> None:
        """Make it a dead letter."""
        self._fail(row, f'"dead" = {self.now} + %s', 0.0, error)

    def _fail(self, row: Row, change: str, seconds: float, error: str) -> None:
        self.control.change(
            f'UPDATE "shoal_message" SET {change}, "done" = %s, "error" = %s '
            'WHERE "id" = %s',
            seconds,
            json.dumps(row.done),
            in_ascii(error),
            row.number,
        )

    # What an operator asks for.

    def revive(self, ids: Sequence[str] = ()) -> int:
        """Let dead letters be tried again, now; without ids all of them."""
        named = f' AND "message" IN ({_marks(ids)})' if ids else ""
        return self.control.change(
            f'UPDATE "shoal_message" SET "dead" = NULL, "attempts" = 0, '
            f'"due" = {self.now} WHERE "dead" IS NOT NULL{named}',
            *ids,
        )

    def drop(self, id: str) -> bool:
        """Delete a message, dead or not; say whether it was there."""
        sql = 'DELETE FROM "shoal_message" WHERE "message" = %s'
        return self.control.change(sql, id) == 1


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


@contextlib.contextmanager
def opened(alias: Alias) -> Iterator[Box | None]:
    """Open the messages of a database for a block; `None` where there is no file."""
    if is_missing_file(connections[alias]):
        yield None
        return
    with reached(alias) as control:
        yield Box(control, is_apart=goes_apart(alias))


def in_own_transaction(alias: Alias) -> Box:
    """Open them over the project's connection, in whatever transaction it has."""
    return Box(Control(connections[alias]), is_apart=False)
