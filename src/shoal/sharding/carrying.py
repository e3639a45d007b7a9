"""
Carries rows of one table from a connection to another, as they are.

Nothing is converted on the way that could be lost: on PostgreSQL by binary COPY, on
SQLite past the converters of columns. What is asked of the source is seen by Django's
log of queries and by the execute wrappers there.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.utils import CursorDebugWrapper

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
    into = f"COPY {quote(table)} ({listed}) FROM STDIN (FORMAT BINARY)"

    def copy(reader: Any, sql: str, params: Any) -> int:
        query = merged(source.connection, sql, params)
        out = f"COPY ({query}) TO STDOUT (FORMAT BINARY)"
        with target.wrap_database_errors, target.connection.cursor() as cursor:
            with cursor.copy(into) as sink:
                for block in _blocks(source.connection, reader, out):
                    sink.write(block)
            # Known when the copy is at its end, and not any more when the cursor is.
            return int(cursor.rowcount)

    count = seen(source, copy)
    if count < 0:
        raise AssertionError("PostgreSQL has not said how many rows it copied.")
    return count


def seen(source: Source, run: Callable[[Any, str, Any], int]) -> int:
    """
    Let `run(cursor, sql, params)` do what Django's own cursor has no method for.

    The log of queries and the execute wrappers see it as they see `execute()`, so
    `run` gets what the wrappers have made of it.
    """
    connection = source.connection

    def execute(sql: str, params: Any, many: bool, context: Any) -> int:
        connection.validate_no_broken_transaction()
        return run(cursor.cursor, sql, params)

    with connection.cursor() as cursor, contextlib.ExitStack() as stack:
        if isinstance(cursor, CursorDebugWrapper):
            about = source.sql, source.params
            stack.enter_context(cursor.debug_sql(*about, use_last_executed_query=True))
        return cursor._execute_with_wrappers(  # type: ignore[no-any-return]
            source.sql, source.params, many=False, executor=execute
        )


def merged(connection: Any, sql: str, params: Any) -> str:
    """Return the SQL with its parameters in it, for statements that take none."""
    import psycopg

    with contextlib.closing(psycopg.ClientCursor(connection.connection)) as cursor:
        return str(cursor.mogrify(sql, params))


def _blocks(connection: Any, cursor: Any, sql: str) -> Iterator[Any]:
    with connection.wrap_database_errors, cursor.copy(sql) as out:
        yield from out


def _by_inserts(target: Any, table: str, columns: Sequence[str], source: Source) -> int:
    into = _insert(target, table, columns, "%s")
    with contextlib.closing(target.connection.cursor()) as cursor:
        return _in_blocks(source, lambda block: cursor.executemany(into, block))


def _by_inserts_on_sqlite(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> int:
    into = _insert(target, table, columns, "?")
    return _in_blocks(source, lambda b: target.connection.executemany(into, b))


def _in_blocks(source: Source, write: Callable[[Any], Any]) -> int:
    """Read the rows some at a time; return how many there were."""
    count = 0
    with source.connection.cursor() as rows:
        rows.execute(source.sql, source.params)
        while block := rows.fetchmany(_AT_ONCE):
            write(block)
            count += len(block)
    return count


def _insert(target: Any, table: str, columns: Sequence[str], mark: str) -> str:
    quote = target.ops.quote_name
    listed = ", ".join(map(quote, columns))
    marks = ", ".join([mark] * len(columns))
    return f"INSERT INTO {quote(table)} ({listed}) VALUES ({marks})"
