"""
Old rows on MariaDB: in temporary tables of another database, used for a statement.

Temporary, since any other table would commit the test's transaction. A view becomes a
table with the rows it shows.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError

from shoal.errors import LaggingError
from shoal.testing.copies.sending import send
from shoal.topology.probe.asking import as_line, close, open_apart

LONGEST = 64
"""Characters of a name. https://mariadb.com/kb/en/identifier-names/"""
_SUFFIX = "_lagging"
_NAMES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'VIEW')
ORDER BY table_name
"""


class MariaDBCopy:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._name = str(connection.settings_dict["NAME"])
        self._place = self._name[: LONGEST - len(_SUFFIX)] + _SUFFIX
        self._tables: list[str] = []

    def make(self) -> None:
        try:
            self._copy()
        except DatabaseError as error:
            raise LaggingError(
                f"The tables of {self._name!r} could not be copied to the database "
                f"{self._place!r}: {as_line(error, self._connection.settings_dict)}.",
                hint=f"GRANT ALL ON {self._quote(self._place)}.* TO "
                f"{self._connection.settings_dict['USER']!r} if it lacks that.",
            ) from error

    def _copy(self) -> None:
        self._elsewhere(f"CREATE DATABASE IF NOT EXISTS {self._quote(self._place)}")
        for (name,) in send(self._connection, _NAMES):
            source = f"{self._quote(self._name)}.{self._quote(name)}"
            target = f"{self._quote(self._place)}.{self._quote(name)}"
            send(
                self._connection,
                f"CREATE OR REPLACE TEMPORARY TABLE {target} AS SELECT * FROM {source}",
            )
            self._tables.append(target)

    def drop(self) -> None:
        if self._tables and self._connection.connection is not None:
            tables = ", ".join(self._tables)
            send(self._connection, f"DROP TEMPORARY TABLE IF EXISTS {tables}")
        self._elsewhere(f"DROP DATABASE IF EXISTS {self._quote(self._place)}")

    @contextlib.contextmanager
    def showing(self, cursor: Any) -> Iterator[None]:
        raw = self._connection.connection
        raw.select_db(self._place)
        try:
            yield
        finally:
            raw.select_db(self._name)

    def _elsewhere(self, sql: str) -> None:
        """Send what would commit the test's transaction on another connection."""
        connection = open_apart(self._connection.alias)
        try:
            send(connection, sql)
        finally:
            close(connection)

    def _quote(self, name: str) -> str:
        return str(self._connection.ops.quote_name(name))
