"""Old rows on SQLite: the whole database once more, in memory."""

import contextlib
from collections.abc import Iterator
from typing import Any

from shoal.topology.probe.asking import close, open_apart

_VERSIONS = slice(18, 20)
_ROLLBACK_JOURNAL = b"\x01\x01"
"""https://www.sqlite.org/fileformat2.html#file_format_version_numbers"""


class SQLiteCopy:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._copy: Any = open_apart(connection.alias)
        self._copy.settings_dict["NAME"] = ":memory:"

    def make(self) -> None:
        self._connection.ensure_connection()
        content = bytearray(self._connection.connection.serialize())
        # A database in memory cannot have a write-ahead log.
        content[_VERSIONS] = _ROLLBACK_JOURNAL
        self._copy.ensure_connection()
        self._copy.connection.deserialize(bytes(content))
        self._copy.connection.execute("PRAGMA query_only = ON")

    def drop(self) -> None:
        close(self._copy)

    @contextlib.contextmanager
    def showing(self, cursor: Any) -> Iterator[None]:
        """The rows of the statement are fetched from the copy, too."""
        with self._connection.wrap_database_errors:
            cursor.cursor = self._copy.create_cursor()
        yield
