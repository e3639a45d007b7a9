"""Takes a primary's connection, gives a copy of its rows for mirrors to read."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from shoal.errors import LaggingError
from shoal.testing.copies.mariadb import MariaDBCopy
from shoal.testing.copies.postgresql import PostgreSQLCopy
from shoal.testing.copies.sqlite import SQLiteCopy

__all__ = ["Copy", "copy_of"]


class Copy(Protocol):
    """The rows of one moment, those of the open transaction included."""

    def make(self) -> None: ...
    def drop(self) -> None:
        """Leave nothing behind. What a rollback undoes anyway may stay until then."""

    def showing(self, cursor: Any) -> AbstractContextManager[None]:
        """Let one statement of Django's cursor read the copy."""


_COPIES: Mapping[str, Callable[[Any], Copy]] = {
    "mysql": MariaDBCopy,
    "postgresql": PostgreSQLCopy,
    "sqlite": SQLiteCopy,
}


def copy_of(connection: Any) -> Copy:
    """Return a copy that is not made yet, or raise where there can be none."""
    make = _COPIES.get(connection.vendor)
    # MySQL opens a temporary table only once for each statement.
    # https://dev.mysql.com/doc/refman/8.4/en/temporary-table-problems.html
    is_mysql = make is MariaDBCopy and not connection.mysql_is_mariadb
    if make is None or is_mysql:
        raise LaggingError(
            f"The mirrors of {connection.alias!r} cannot lag: {connection.vendor} has "
            "no place for the old rows.",
            hint="Ask real replicas: mirror_replicas = False on a "
            "TransactionTestCase, or @pytest.mark.shoal(mirror_replicas=False).",
        )
    return make(connection)
