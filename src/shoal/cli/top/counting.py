"""
Takes an alias, asks its server what it has read, whoever read it.

PostgreSQL counts rows by database, MariaDB and MySQL by server. Rows and not queries:
each process that watches the servers sends them queries all the time, which read next
to no rows, and on a quiet server would drown what its readers do.
"""

import time
from collections.abc import Callable
from typing import Any

from django.db import Error, connections

from shoal.cli.top.shares import Sample
from shoal.routing.health.asking import Asker
from shoal.routing.health.values import Look
from shoal.topology.asking import row
from shoal.types import Alias

_POSTGRESQL = """
SELECT current_setting('cluster_name'),
       pg_stat_get_db_tuples_returned(oid)
FROM pg_database WHERE datname = current_database()
"""
_MYSQL_NAME = "SELECT coalesce(nullif(@@report_host, ''), @@hostname)"
# The first is MariaDB's, the second MySQL's.
_MYSQL_ROWS = (
    "SHOW GLOBAL STATUS WHERE variable_name IN ('Rows_read', 'Innodb_rows_read')"
)


class Counts:
    """What the servers have said last, for one thread to read and many to write."""

    def __init__(self) -> None:
        self.samples: dict[Alias, Sample] = {}
        self.names: dict[Alias, str] = {}

    def asker(self, alias: Alias, of_replica: bool) -> "CountingAsker":
        return CountingAsker(alias, of_replica, self._tell)

    def name(self, alias: Alias) -> str:
        """Return the server as it names itself; until it has, its address."""
        return self.names.get(alias) or _address(alias)

    def _tell(self, alias: Alias, name: str, sample: Sample) -> None:
        if name:
            self.names[alias] = name
        self.samples[alias] = sample


class CountingAsker(Asker):
    """Asks for the count as well, on the same connection."""

    def __init__(
        self,
        alias: Alias,
        of_replica: bool,
        tell: Callable[[Alias, str, Sample], None],
    ) -> None:
        super().__init__(alias, of_replica)
        self._alias, self._tell = alias, tell
        self._settled: Any = None
        """The driver's connection of which that was done."""

    def ask(self) -> Look:
        look = super().ask()
        try:
            if self._settled is not self._connection.connection:
                settle(self._connection)
                self._settled = self._connection.connection
            found = counted(self._connection)
        except Error:
            # How the server is does not depend on it.
            return look
        if found is not None:
            name, rows = found
            self._tell(self._alias, name, Sample(time.monotonic(), rows))
        return look


def settle(connection: Any) -> None:
    """Let what connecting itself has read be in the first count already."""
    if connection.vendor == "postgresql" and connection.pg_version >= 150000:
        counted(connection)
        row(connection, "SELECT pg_stat_force_next_flush()")


def counted(connection: Any) -> tuple[str, int] | None:
    """Return the server's name and the rows that it has read."""
    if connection.vendor == "postgresql":
        name, rows = row(connection, _POSTGRESQL)
        return name, int(rows)
    if connection.vendor == "mysql":
        (name,) = row(connection, _MYSQL_NAME)
        return name, int(row(connection, _MYSQL_ROWS)[1])
    return None


def _address(alias: Alias) -> str:
    settings = connections.settings[alias]
    parts = (str(settings[key] or "") for key in ("HOST", "PORT"))
    return ":".join(filter(None, parts)) or str(settings["NAME"])
