"""Temporary tables on MariaDB, which lets one statement open them several times."""

import contextlib
from collections.abc import Sequence
from typing import Any

from shoal.errors import QueryRefused
from shoal.sharding.scratch.columns import Column

_GENERATED = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s AND generation_expression <> ''
"""


class MySQLScratch:
    """Makes and fills tables that last for one statement."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._tables: list[str] = []

    def begin(self) -> None:
        if not self.connection.mysql_is_mariadb:
            raise QueryRefused(
                "MySQL opens a temporary table only once in a statement, so queries "
                "over several shards are not gathered there.",
                hint="Name the key in the filter, or use MariaDB or PostgreSQL.",
            )
        self._run("SET SESSION foreign_key_checks = 0")

    def end(self) -> None:
        tables, self._tables = self._tables, []
        if tables and self.connection.connection is not None:
            quote = self.connection.ops.quote_name
            listed = ", ".join(map(quote, tables))
            self._run(f"DROP TEMPORARY TABLE IF EXISTS {listed}")

    def make(
        self,
        table: str,
        columns: Sequence[Column] | None,
        primary_key: Sequence[str],
    ) -> None:
        """Make a table like the one of this name, or of these columns."""
        quote = self.connection.ops.quote_name
        if columns is None:
            made = f"shoal_{len(self._tables)}"
            self._tables.append(made)
            self._run(f"CREATE TEMPORARY TABLE {quote(made)} LIKE {quote(table)}")
            # A temporary table cannot be made LIKE the one of its own name.
            self._run(f"ALTER TABLE {quote(made)} RENAME TO {quote(table)}")
            self._tables[-1] = table
        else:
            listed = ", ".join(f"{quote(c.name)} {c.type}" for c in columns)
            if primary_key:
                listed += f", PRIMARY KEY ({', '.join(map(quote, primary_key))})"
            self._tables.append(table)
            self._run(f"CREATE TEMPORARY TABLE {quote(table)} ({listed})")

    def make_for(
        self, table: str, columns: Sequence[Column], sql: str, params: Sequence[Any]
    ) -> None:
        """Make a table for the rows of a query, whose columns have these names."""
        with self._raw() as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM ({sql}) part LIMIT 0",
                params,
            )
        self._tables.append(table)

    def types(self, table: str) -> dict[str, str]:
        """Return nothing: sums of sums have the type of sums here."""
        return {}

    def sort(self, table: str, primary_key: Sequence[str]) -> None:
        """The primary key orders the rows anyway."""

    def index(self, table: str, primary_key: Sequence[str]) -> None:
        """The copy has the indexes of its original."""

    def writable(self, table: str, columns: Sequence[str]) -> Sequence[str]:
        with self._raw() as cursor:
            cursor.execute(_GENERATED, [table])
            generated = {row[0] for row in cursor.fetchall()}
        return [column for column in columns if column not in generated]

    def _run(self, sql: str) -> None:
        with self._raw() as cursor:
            cursor.execute(sql)

    @contextlib.contextmanager
    def _raw(self) -> Any:
        with (
            self.connection.wrap_database_errors,
            contextlib.closing(self.connection.connection.cursor()) as cursor,
        ):
            yield cursor

    def cursor(self) -> Any:
        return self.connection.cursor()
