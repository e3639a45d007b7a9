"""
Keeps two runs from migrating one database at a time. Takes aliases, holds their locks.

A session lock of the server on a connection that does nothing else: it goes when the
run ends, however it ends. SQLite has none, and locks its file while it writes.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.errors import MigrateError
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

RETRY_AFTER = 0.1

_TAKE = {
    "postgresql": "SELECT pg_try_advisory_lock("
    "hashtextextended('shoal migrate ' || coalesce(current_schema(), ''), 0))",
    "mysql": "SELECT GET_LOCK(SHA1(CONCAT('shoal migrate ', DATABASE())), 0)",
}
_STAY = {
    "postgresql": "SET idle_session_timeout = 0",
    "mysql": "SET SESSION wait_timeout = 604800",
}


@contextlib.contextmanager
def locked(
    aliases: Sequence[Alias], *, timeout: float, say: Callable[[str], None]
) -> Iterator[None]:
    """
    Hold the lock of every alias, or raise `MigrateError` after `timeout` seconds.

    Taken in the order given, which is the same for every run of a project.
    """
    until = time.monotonic() + timeout
    with contextlib.ExitStack() as held:
        for alias in aliases:
            connection = open_apart(alias)
            held.callback(close, connection)
            if connection.vendor in _TAKE:
                _ask(connection, _STAY[connection.vendor])
                _take(connection, until, timeout, say)
        yield


def _take(
    connection: BaseDatabaseWrapper,
    until: float,
    timeout: float,
    say: Callable[[str], None],
) -> None:
    said = False
    while not _ask(connection, _TAKE[connection.vendor]):
        if time.monotonic() >= until:
            raise MigrateError(
                f"Another `shoal migrate` is at work on {connection.alias!r}, and was "
                f"not through within {timeout:g} s.",
                hint="Wait for it to end, or wait longer with --lock-timeout. Nothing "
                "was changed by this one.",
            )
        if not said:
            said = True
            say(
                f"Waiting up to {timeout:g} s for another `shoal migrate` on "
                f"{connection.alias!r}."
            )
        time.sleep(RETRY_AFTER)


def _ask(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None
