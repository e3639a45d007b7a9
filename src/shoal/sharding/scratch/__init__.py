"""
A connection of its own to the home server, where gathered rows lie for one statement.

Takes rows of other shards, puts them into temporary tables under the real names, runs
the statement there, and leaves nothing behind. It is apart since PostgreSQL does not
prepare a transaction that has touched temporary tables.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from shoal.sharding.deadlines import watched
from shoal.sharding.scratch.columns import Column, column_type
from shoal.sharding.scratch.mysql import MySQLScratch
from shoal.sharding.scratch.postgresql import PostgreSQLScratch
from shoal.sharding.scratch.sqlite import SQLiteScratch
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

__all__ = ["Column", "Scratch", "column_type", "home_name"]

_VENDORS: dict[str, Any] = {
    "mysql": MySQLScratch,
    "postgresql": PostgreSQLScratch,
    "sqlite": SQLiteScratch,
}


def home_name(connection: Any) -> Any:
    """Return what the home database is called now: a test runner changes it."""
    return connection.home.settings_dict["NAME"]


class Scratch:
    """Of one thread, for one sharded alias. Connects when it is first needed."""

    def __init__(self, home: Alias) -> None:
        self._home = home
        self._lock = threading.RLock()
        """Tests share a connection between threads."""
        self._tables: Any = None
        self._name: Any = None

    @contextlib.contextmanager
    def opened(self, name: Any) -> Iterator[Any]:
        """
        Yield what makes and fills tables; what it has made is gone afterwards.

        `name` is that of the home database now: a test runner changes it.
        """
        with self._lock:
            tables = self._ready(name)
            watched(tables.connection, is_shard=False)
            try:
                tables.begin()
                yield tables
            except BaseException:
                with contextlib.suppress(Exception):
                    self._clear(tables)
                raise
            self._clear(tables)

    def _ready(self, name: Any) -> Any:
        if self._name != name:
            self.close()
        if self._tables is None:
            connection = open_apart(self._home)
            # A thread that may use the sharded alias may use this, one at a time.
            connection.inc_thread_sharing()
            self._tables = _VENDORS[connection.vendor](connection)
            self._name = name
        connection = self._tables.connection
        if connection.connection is None:
            # Past `ensure_connection`, which tests forbid for aliases they don't list.
            with connection.wrap_database_errors:
                connection.connect()
        self._follow_time_zone(connection)
        return self._tables

    def _follow_time_zone(self, connection: Any) -> None:
        """Tests change the time zone, and tell only the connections that they know."""
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)
        connection.ensure_timezone()

    def _clear(self, tables: Any) -> None:
        try:
            tables.end()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            if self._tables is not None:
                close(self._tables.connection)
                self._tables = None

    def close_if_unusable_or_obsolete(self) -> None:
        """Close at the end of a request; SQLite's costs nothing, and is kept."""
        if self._tables is not None and self._tables.connection.vendor != "sqlite":
            self.close()
