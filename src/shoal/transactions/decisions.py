"""
Takes a unit of work and its home database, writes and reads what was decided.

The row of a unit is written before any server prepares, in the home server's open
transaction, and the commit of that is the decision. While it is open, whoever asks
waits behind it: so a coordinator that is at work is told from one that is gone without
a clock. Once a row could be written by somebody else, the unit will never commit.
"""

import contextlib
import json
import math
import re
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from django.db import DatabaseError, Error, IntegrityError, OperationalError

from shoal.placement.control import Control, reached
from shoal.transactions import tables
from shoal.transactions.engines import code_of
from shoal.transactions.schemas import are_there, qualified
from shoal.transactions.wires import done, send, sent_in_turn
from shoal.types import Alias

Verdict = Literal["committed", "rolled back", "undecided"]
_INSERT = (
    'INSERT INTO "shoal_decision" ("unit", "servers", "at") '
    "VALUES (%s, %s, CURRENT_TIMESTAMP)"
)
_ON_DISK = (
    "SELECT CASE current_setting('synchronous_commit') WHEN 'off' "
    "THEN set_config('synchronous_commit', 'local', true) END"
)
"""https://www.postgresql.org/docs/current/wal-async-commit.html"""
_IDLE = 0
"""PQTRANS_IDLE.
https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS"""
TOGETHER = 32
"""How many decisions of one database a process deletes at once."""
_ended: defaultdict[str, deque[str]] = defaultdict(deque)
"""Units whose rows are needed no more, by the identity of the database."""
_PLAIN = re.compile(r'[\w", .:{}-]*', re.ASCII)
"""Aliases of which nothing has to be quoted."""
_DEADLOCK = 1213
"""Of several that try to write the same row, InnoDB chooses one to fail."""
_CHANGED = 1412
"""
ER_TABLE_DEF_CHANGED: the table was made after this transaction has begun to read.
https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
"""
_LOCKED = ("55P03", 1205, _DEADLOCK)
"""lock_not_available, a lock wait timeout, a deadlock."""


def identity_of(connection: Any) -> str:
    """
    Return the name of the database that an open connection leads to.

    Asked once for each of the driver's connections: a database does not change under
    one. Makes the tables where they are missing.
    """
    if is_known(connection):
        return str(connection._shoal_identity[1])
    # What is made just now, this transaction perhaps does not see.
    identity = _known_identity(connection)
    if identity is None:
        identity = tables.create(connection.alias, tables.DECIDING)
    if connection.vendor != "sqlite":
        # There the tables may go with the transaction.
        connection._shoal_identity = (connection.connection, identity)
    return identity


def _known_identity(connection: Any) -> str | None:
    """Return the identity; `None` where it has none, or a table is missing."""
    there = Control(connection)
    if there.vendor == "postgresql":
        # A failed statement would break the transaction.
        is_there = are_there(connection, "shoal_decision", "shoal_identity")
        table = qualified(connection, '"shoal_identity"')
        return tables.known_identity(there, table) if is_there else None
    try:
        return tables.known_identity(there)
    except DatabaseError as error:
        if code_of(error) != _CHANGED and not there.missing(tables.DECIDING):
            raise
        return None


def is_known(connection: Any) -> bool:
    """Say whether the identity is known without asking."""
    known = connection.__dict__.get("_shoal_identity")
    return known is not None and known[0] is connection.connection


def write(connection: Any, unit: str, servers: Mapping[Alias, str]) -> None:
    """
    Let the open transaction of the home server decide, by its commit.

    Takes the databases that prepare, by their aliases, with their identities. The
    others will have committed for good, so this has to be on the disk then.
    """
    listed = json.dumps(servers)
    durably = f"FROM ({_ON_DISK}) AS on_disk"
    rest = durably if connection.vendor == "postgresql" else ""
    insert = qualified(connection, "INSERT INTO shoal_decision")
    insert = f"{insert} (unit, servers, at) SELECT"
    try:
        if _PLAIN.fullmatch(listed) and not _is_idle(connection):
            # This way is the shorter one, and every commit takes it.
            send(connection, f"{insert} '{unit}', '{listed}', CURRENT_TIMESTAMP {rest}")
        else:
            sql = f"{insert} %s, %s, CURRENT_TIMESTAMP {rest}"
            Control(connection).run(sql, unit, listed)
    except Error:
        # Perhaps the tables are no more, or elsewhere: the next unit looks again.
        connection._shoal_identity = connection._shoal_schemas = None
        raise


def _is_idle(connection: Any) -> bool:
    """Say whether psycopg has yet to begin, which it does with its cursor's first."""
    pgconn = getattr(connection.connection, "pgconn", None)
    return pgconn is not None and pgconn.transaction_status == _IDLE


def forget(connection: Any, unit: str) -> None:
    """
    Delete the row, once every server has committed: those of some units together.

    MariaDB and MySQL wait for the disk also for this, and anywhere it is a round trip
    more. What a process has not come to when it ends, `recover` deletes.
    """
    ended = _ended[identity_of(connection)]
    ended.append(unit)
    if len(ended) < TOGETHER:
        return
    units = [*_popped(ended)]
    if connection.vendor == "mysql":
        # A list might lock, and wait for, every row there is.
        _delete_each(connection, units)
        return
    marks = ", ".join(f"'{unit}'" for unit in units)
    sql = qualified(connection, f"DELETE FROM shoal_decision WHERE unit IN ({marks})")
    if connection.vendor == "postgresql":
        sql = f"SET LOCAL synchronous_commit = off; {sql}"
    send(connection, sql)


def _popped(units: deque[str]) -> Iterator[str]:
    """Take all; another thread may do the same."""
    with contextlib.suppress(IndexError):
        while True:
            yield units.popleft()


def _delete_each(connection: Any, units: Iterable[str]) -> None:
    each = (f"DELETE FROM shoal_decision WHERE unit = '{unit}'" for unit in units)
    try:
        done(sent_in_turn(connection, ["BEGIN", *each, "COMMIT"]))
    except BaseException:
        # What the project does next must not be in this transaction.
        connection.close()
        raise


def every(home: Control) -> dict[str, frozenset[str]]:
    """Return the units that commit, with the identities of those that have prepared."""
    rows = home.run('SELECT "unit", "servers" FROM "shoal_decision"')
    return {
        str(unit): frozenset(json.loads(servers).values()) for unit, servers in rows
    }


def forget_all(home: Control, units: Sequence[str]) -> None:
    """Delete the rows of units that every server has committed."""
    marks = ", ".join(["%s"] * len(units))
    home.run(f'DELETE FROM "shoal_decision" WHERE "unit" IN ({marks})', *units)


def ask(alias: Alias, unit: str, *, within: int) -> Verdict:
    """
    Ask the home database what was decided, and let that be final.

    Waits for so many seconds behind a coordinator that is at work. Raises `Error` if
    the database cannot be asked.
    """
    with reached(alias) as home:
        return verdict(home, unit, within=within)


def verdict(home: Control, unit: str, *, within: int) -> Verdict:
    """Try to write the row that only the coordinator writes, and take it back."""
    end = time.monotonic() + within
    while True:
        try:
            with home.transaction(wait=within):
                home.run(_INSERT, unit, "{}")
                raise _Written
        except _Written:
            return "rolled back"
        except IntegrityError:
            return "committed"
        except OperationalError as error:
            if not _is_locked(home, error):
                raise
            if code_of(error) != _DEADLOCK or time.monotonic() > end:
                return "undecided"


class _Written(Exception):
    """Nobody has decided, so nobody will."""


def _is_locked(home: Control, error: Error) -> bool:
    if home.vendor == "sqlite":
        return "locked" in str(error)
    return code_of(error) in _LOCKED


def ask_until_answered(alias: Alias, unit: str, *, within: float) -> Verdict | None:
    """Ask for so many seconds; `None`: the home database could not be reached."""
    end = time.monotonic() + within
    while True:
        left = max(math.ceil(end - time.monotonic()), 1)
        try:
            return ask(alias, unit, within=left)
        except Error:
            if time.monotonic() > end:
                return None
            time.sleep(0.1)
