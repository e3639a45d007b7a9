"""
Takes an edition, pauses the replay on its real replicas and resumes it.

Each replica is asked on a connection apart, under its alias' own settings, so that
nothing a test does to its connections keeps the replay from going on.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import DatabaseError, connections

from shoal.errors import LaggingError
from shoal.testing.copies.sending import send
from shoal.topology import Cluster, Position
from shoal.topology.positions import look
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias, ClusterName

CATCH_UP_WITHIN = 10.0
"""Seconds for a replica to show what its primary shows when a block begins."""
ASK_EVERY = 0.01
"""Seconds."""

_DENIED = ("42501", 1227)
"""https://www.postgresql.org/docs/current/errcodes-appendix.html
https://mariadb.com/kb/en/mariadb-error-code-reference/"""
_STATEMENTS: Mapping[str, tuple[str, str, str]] = {
    "postgresql": (
        "SELECT pg_wal_replay_pause()",
        "SELECT pg_wal_replay_resume()",
        "In the database {database!r} of the primary, or in template1 before the test "
        "databases are made: GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), "
        'pg_wal_replay_resume() TO "{user}".',
    ),
    "mariadb": (
        "STOP SLAVE SQL_THREAD",
        "START SLAVE SQL_THREAD",
        "On the replica: GRANT REPLICATION SLAVE ADMIN ON *.* TO {user!r}.",
    ),
    "mysql": (
        "STOP REPLICA SQL_THREAD",
        "START REPLICA SQL_THREAD",
        "On the replica: GRANT REPLICATION_SLAVE_ADMIN ON *.* TO {user!r}.",
    ),
}
"""Pauses, resumes, and what to grant to somebody who may not."""

_open: dict[ClusterName, int] = {}
"""How many blocks of this process are open, by edition."""
_turn = threading.Lock()


@contextlib.contextmanager
def replay_paused(edition: Cluster) -> Iterator[None]:
    """
    Let the edition's replicas show what the primary shows now, for a block.

    The first block of several pauses, and the last one resumes. What a run that was
    killed has left paused is resumed first.
    """
    with contextlib.ExitStack() as stack:
        with _turn:
            if not _open.get(edition.name):
                _begin(edition)
            _open[edition.name] = _open.get(edition.name, 0) + 1
        stack.callback(_leave, edition)
        yield


def _begin(edition: Cluster) -> None:
    position = _position_of_primary(edition)
    with contextlib.ExitStack() as resuming:
        for replica in edition.replicas:
            resuming.callback(_resume, replica.alias)
            _pause(replica.alias, position)
        # All of them are paused: the last block resumes them.
        resuming.pop_all()


def _leave(edition: Cluster) -> None:
    with _turn:
        _open[edition.name] -= 1
        if _open[edition.name]:
            return
        with contextlib.ExitStack() as all_of_them:
            for replica in edition.replicas:
                all_of_them.callback(_resume, replica.alias)


def _position_of_primary(edition: Cluster) -> Position:
    connection = connections[edition.primary]
    connection.ensure_connection()
    if connection.in_atomic_block or not connection.get_autocommit():
        raise LaggingError(
            f"A transaction is open on {edition.primary!r}, and no real replica shows "
            "what is done in it.",
            hint="Use a TransactionTestCase, or django_db(transaction=True).",
        )
    position = look(connection, of_replica=False)[0]
    if position is None:
        raise LaggingError(
            f"The primary {edition.primary!r} does not tell how far its log has come.",
            hint="On MariaDB turn on log_bin, on MySQL gtid_mode. SQLite has none.",
        )
    return position


def _pause(alias: Alias, position: Position) -> None:
    with _asking(alias) as connection:
        if look(connection, of_replica=True)[1] is False:
            raise LaggingError(
                f"The alias {alias!r} leads to a server that is no replica.",
                hint="Let it be a mirror: leave out mirror_replicas=False.",
            )
        pause, resume, _ = _statements(connection)
        send(connection, resume)
        _wait_for(connection, position)
        send(connection, pause)
        _wait_until_paused(connection)


def _resume(alias: Alias) -> None:
    with _asking(alias) as connection:
        send(connection, _statements(connection)[1])


def _wait_for(connection: Any, position: Position) -> None:
    until = time.monotonic() + CATCH_UP_WITHIN
    while True:
        seen = look(connection, of_replica=True)[0]
        if seen is not None and seen.reaches(position):
            return
        if time.monotonic() > until:
            raise LaggingError(
                f"The replica {connection.alias!r} does not show what its primary "
                f"shows after {CATCH_UP_WITHIN:g} s.",
                hint="See what `manage.py shoal status` says of it.",
            )
        time.sleep(ASK_EVERY)


def _wait_until_paused(connection: Any) -> None:
    """On PostgreSQL the replay goes on until it has noticed."""
    if connection.vendor != "postgresql":
        return
    until = time.monotonic() + CATCH_UP_WITHIN
    while send(connection, "SELECT pg_get_wal_replay_pause_state()") != [("paused",)]:
        if time.monotonic() > until:
            raise LaggingError(
                f"The replay on {connection.alias!r} is not paused after "
                f"{CATCH_UP_WITHIN:g} s.",
                hint="Look into the log of that server.",
            )
        time.sleep(ASK_EVERY)


@contextlib.contextmanager
def _asking(alias: Alias) -> Iterator[Any]:
    connection: Any = open_apart(alias)
    try:
        yield connection
    except DatabaseError as error:
        if _code(error) not in _DENIED:
            raise
        database, user = (connection.settings_dict[key] for key in ("NAME", "USER"))
        raise LaggingError(
            f"The role {user!r} may not pause the replay on {alias!r}.",
            hint=_statements(connection)[2].format(database=database, user=user),
        ) from error
    finally:
        close(connection)


def _code(error: DatabaseError) -> Any:
    state = getattr(error.__cause__, "sqlstate", None)
    return state or getattr(error.__cause__, "pgcode", None) or error.args[0]


def _statements(connection: Any) -> tuple[str, str, str]:
    vendor = connection.vendor
    if vendor == "mysql" and connection.mysql_is_mariadb:
        vendor = "mariadb"
    return _STATEMENTS[vendor]
