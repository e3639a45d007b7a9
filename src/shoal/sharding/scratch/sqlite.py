"""A database in memory, with the tables of the home shard as they are needed."""

from collections.abc import Sequence
from typing import Any

from shoal.sharding.scratch.columns import Column


class SQLiteScratch:
    """Makes and fills tables that last for one statement."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        connection.settings_dict["NAME"] = ":memory:"
        self._tables: list[tuple[str, str]] = []

    def begin(self) -> None:
        """Nothing to do."""

    def end(self) -> None:
        made, self._tables = self._tables, []
        quote = self.connection.ops.quote_name
        for kind, table in made:
            self.connection.connection.execute(f"DROP {kind} IF EXISTS {quote(table)}")

    def make(
        self,
        table: str,
        columns: Sequence[Column] | None,
        primary_key: Sequence[str],
    ) -> None:
        """Make a table of these columns."""
        quote = self.connection.ops.quote_name
        listed = ", ".join(f"{quote(c.name)} {c.type}" for c in columns or ())
        if primary_key:
            listed += f", PRIMARY KEY ({', '.join(map(quote, primary_key))})"
        self._tables.append(("TABLE", table))
        self._run(f"CREATE TABLE {quote(table)} ({listed})")

    def make_for(
        self, table: str, columns: Sequence[Column], sql: str, params: Sequence[Any]
    ) -> None:
        """
        Make a table for the rows of a query.

        A column that has a type compares as the one that it was made of.
        """
        self._tables.append(("TABLE", table))
        quote = self.connection.ops.quote_name
        listed = ", ".join(f"{quote(c.name)} {c.type}" for c in columns)
        self._run(f"CREATE TABLE {table} ({listed})")

    def types(self, table: str) -> dict[str, str]:
        """Return nothing: values have types here, and columns have none."""
        return {}

    def sort(self, table: str, primary_key: Sequence[str]) -> None:
        """Let rows lie as if they had been inserted one after the other."""
        quote = self.connection.ops.quote_name
        name, sorted_ = quote(table), quote(f"{table} sorted")
        listed = ", ".join(map(quote, primary_key))
        self._run(f"CREATE TABLE {sorted_} AS SELECT * FROM {name} ORDER BY {listed}")
        self._run(f"DELETE FROM {name}")
        self._run(f"INSERT INTO {name} SELECT * FROM {sorted_}")
        self._run(f"DROP TABLE {sorted_}")

    def index(self, table: str, primary_key: Sequence[str]) -> None:
        """SQLite lets any column stand beside a GROUP BY."""

    def writable(self, table: str, columns: Sequence[str]) -> Sequence[str]:
        return columns

    def _run(self, sql: str) -> None:
        with self.connection.wrap_database_errors:
            self.connection.connection.execute(sql)

    def cursor(self) -> Any:
        return self.connection.cursor()
