"""Takes a connection and SQL, sends it where no execute wrapper sees it."""

from typing import Any


def send(connection: Any, sql: str) -> list[Any]:
    """Return all rows; none for what is not a query."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []
