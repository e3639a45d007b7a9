"""
Carries rows of one table from a connection to another, as they are.

Nothing is converted on the way that could be lost: on PostgreSQL by binary COPY, on
SQLite past the converters of columns.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.errors import QueryRefused

_AT_ONCE = 1000
"""Rows that are read and written at once."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one table on one server."""

    connection: Any
    """Django's connection to read from, inside of its transaction."""
    sql: str
    params: Sequence[Any]


def carry(target: Any, table: str, columns: Sequence[str], source: Source) -> int:
    """
    Insert the rows into a table of the connection `target`; return how many.

    Raises `QueryRefused` for rows of another vendor's server.
    """
    if source.connection.vendor != target.vendor:
        raise QueryRefused(
            f"The rows of {table!r} are on {source.connection.alias!r}, which is "
            f"{source.connection.vendor}, and cannot be gathered on {target.vendor}.",
            hint="Ask for them apart: prefetch_related(), or a filter by keys that "
            "were fetched first.",
        )
    ways: Mapping[str, Callable[..., int]] = {
        "postgresql": _by_copy,
        "mysql": _by_inserts,
        "sqlite": _by_inserts_on_sqlite,
    }
    return ways[target.vendor](target, table, columns, source)


def read_columns(connection: Any, columns: Sequence[str], alias: str) -> str:
    """Return what follows SELECT for these columns of the table `alias`."""
    quote = connection.ops.quote_name
    # SQLite would convert by the declared type of a bare column.
    plus = "+" if connection.vendor == "sqlite" else ""
    return ", ".join(f"{plus}{quote(alias)}.{quote(name)}" for name in columns)


def _by_copy(target: Any, table: str, columns: Sequence[str], source: Source) -> int:
    quote = target.ops.quote_name
    listed = ", ".join(map(quote, columns))
    out = f"COPY ({_merged(source)}) TO STDOUT (FORMAT BINARY)"
    into = f"COPY {quote(table)} ({listed}) FROM STDIN (FORMAT BINARY)"
    with target.wrap_database_errors, target.connection.cursor() as cursor:
        with cursor.copy(into) as sink:
            for block in _blocks(source.connection, out):
                sink.write(block)
        # Known when the copy is at its end, and not any more when the cursor is.
        count = int(cursor.rowcount)
    if count < 0:
        raise AssertionError("PostgreSQL has not said how many rows it copied.")
    return count


def _merged(source: Source) -> str:
    """Return the SQL with its parameters in it: COPY takes none."""
    import psycopg

    raw = source.connection.connection
    with contextlib.closing(psycopg.ClientCursor(raw)) as cursor:
        return str(cursor.mogrify(source.sql, source.params))


def _blocks(connection: Any, sql: str) -> Iterator[Any]:
    with (
        connection.wrap_database_errors,
        connection.connection.cursor() as cursor,
        cursor.copy(sql) as out,
    ):
        yield from out


def _by_inserts(target: Any, table: str, columns: Sequence[str], source: Source) -> int:
    into = _insert(target, table, columns, "%s")
    count = 0
    with (
        source.connection.wrap_database_errors,
        contextlib.closing(source.connection.connection.cursor()) as rows,
        contextlib.closing(target.connection.cursor()) as cursor,
    ):
        rows.execute(source.sql, source.params)
        while block := rows.fetchmany(_AT_ONCE):
            cursor.executemany(into, block)
            count += len(block)
    return count


def _by_inserts_on_sqlite(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> int:
    into = _insert(target, table, columns, "?")
    count = 0
    with (
        source.connection.wrap_database_errors,
        contextlib.closing(source.connection.create_cursor()) as rows,
    ):
        rows.execute(source.sql, source.params)
        while block := rows.fetchmany(_AT_ONCE):
            target.connection.executemany(into, block)
            count += len(block)
    return count


def _insert(target: Any, table: str, columns: Sequence[str], mark: str) -> str:
    quote = target.ops.quote_name
    listed = ", ".join(map(quote, columns))
    marks = ", ".join([mark] * len(columns))
    return f"INSERT INTO {quote(table)} ({listed}) VALUES ({marks})"
