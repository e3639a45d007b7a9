"""Temporary tables on PostgreSQL, filled by binary COPY, gone with a rollback."""

from collections.abc import Sequence
from typing import Any

from shoal.sharding.carrying import merged
from shoal.sharding.scratch.columns import Column

_TYPES = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0
"""


class PostgreSQLScratch:
    """Makes and fills tables that last for one statement."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def begin(self) -> None:
        self._run("BEGIN")

    def end(self) -> None:
        if self.connection.connection is not None:
            self._run("ROLLBACK")

    def make(
        self,
        table: str,
        columns: Sequence[Column] | None,
        primary_key: Sequence[str],
    ) -> None:
        """Make a table like the one of this name, or of these columns."""
        quote = self.connection.ops.quote_name
        if columns is None:
            self._run(f"CREATE TEMPORARY TABLE {quote(table)} (LIKE {quote(table)})")
        else:
            listed = ", ".join(f"{quote(c.name)} {c.type}" for c in columns)
            self._run(f"CREATE TEMPORARY TABLE {quote(table)} ({listed})")

    def make_for(
        self, table: str, columns: Sequence[Column], sql: str, params: Sequence[Any]
    ) -> None:
        """Make a table for the rows of a query, whose columns get these names."""
        query = merged(self.connection, sql, params)
        listed = ", ".join(self.connection.ops.quote_name(c.name) for c in columns)
        self._run(f"CREATE TEMPORARY TABLE {table} ({listed}) AS {query} WITH NO DATA")

    def types(self, table: str) -> dict[str, str]:
        """Return the types of the columns, as the server calls them."""
        with self.connection.connection.cursor() as cursor:
            cursor.execute(_TYPES, [table])
            return dict(cursor.fetchall())

    def sort(self, table: str, primary_key: Sequence[str]) -> None:
        """Let rows lie as if they had been inserted one after the other."""
        quote = self.connection.ops.quote_name
        listed = ", ".join(map(quote, primary_key))
        self._run(
            f"WITH rows AS (DELETE FROM {quote(table)} RETURNING *) "
            f"INSERT INTO {quote(table)} SELECT * FROM rows ORDER BY {listed}"
        )

    def index(self, table: str, primary_key: Sequence[str]) -> None:
        """Let GROUP BY know that the primary key determines the other columns."""
        quote = self.connection.ops.quote_name
        listed = ", ".join(map(quote, primary_key))
        self._run(f"ALTER TABLE {quote(table)} ADD PRIMARY KEY ({listed})")

    def writable(self, table: str, columns: Sequence[str]) -> Sequence[str]:
        return columns

    def _run(self, sql: str) -> None:
        with (
            self.connection.wrap_database_errors,
            self.connection.connection.cursor() as cursor,
        ):
            cursor.execute(sql)

    def cursor(self) -> Any:
        return self.connection.cursor()
