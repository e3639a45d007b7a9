"""
Carries rows of one table from a connection to another, as they are.

Nothing is converted on the way that could be lost: on PostgreSQL by binary COPY, on
SQLite past the converters of columns. What is asked of the source is seen by Django's
log of queries and by the execute wrappers there.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.utils import CursorDebugWrapper

from shoal.errors import QueryRefused
from shoal.sharding.naming import naming
from shoal.sharding.side_by_side import Asked, ask
from shoal.types import Alias

_AT_ONCE = 1000
"""Rows that are read and written at once."""
_CHUNK = 65536
"""Bytes that are copied at once."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one table, or of one query, on one server or on several."""

    connections: Sequence[Any]
    """Django's connections to read from, each inside of its transaction."""
    sql: str
    params: Sequence[Any]


def carry(target: Any, table: str, columns: Sequence[str], source: Source) -> int:
    """
    Insert the rows into a table of the connection `target`; return how many.

    Raises `QueryRefused` for rows of another vendor's server.
    """
    return sum(count for _, count in carry_each(target, table, columns, source))


def carry_each(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> Generator[tuple[Alias, int], None, None]:
    """
    Do the same, and yield each alias with the number of its rows, once they are there.

    The servers make their rows at the same time. To be closed by who stops halfway.
    """
    for connection in source.connections:
        if connection.vendor != target.vendor:
            raise QueryRefused(
                f"The rows of {table!r} are on {connection.alias!r}, which is "
                f"{connection.vendor}, and cannot be gathered on {target.vendor}.",
                hint="Ask for them apart: prefetch_related(), or a filter by keys that "
                "were fetched first.",
            )
    ways: Mapping[str, Callable[..., Iterator[tuple[Alias, int]]]] = {
        "postgresql": _by_copy,
        "mysql": _by_inserts,
        "sqlite": _by_inserts_on_sqlite,
    }
    yield from ways[target.vendor](target, table, columns, source)


def read_columns(connection: Any, columns: Sequence[str], alias: str) -> str:
    """Return what follows SELECT for these columns of the table `alias`."""
    quote = connection.ops.quote_name
    # SQLite would convert by the declared type of a bare column.
    plus = "+" if connection.vendor == "sqlite" else ""
    return ", ".join(f"{plus}{quote(alias)}.{quote(name)}" for name in columns)


def _by_copy(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> Iterator[tuple[Alias, int]]:
    quote = target.ops.quote_name
    listed = ", ".join(map(quote, columns))
    into = f"COPY {quote(table)} ({listed}) FROM STDIN (FORMAT BINARY)"
    with contextlib.ExitStack() as stack:
        asked = []
        for connection in source.connections:
            with naming(connection.alias):
                out: Any = stack.enter_context(_CopyOut(connection))
            asked.append(Asked(alias=out.alias, connection=connection, cursor=out))
        ask(asked, source.sql, source.params)
        for one in asked:
            with target.wrap_database_errors, target.connection.cursor() as cursor:
                with cursor.copy(into) as sink:
                    for chunk in one.cursor.chunks():
                        sink.write(chunk)
                # Known when the copy is at its end, and no more when the cursor is.
                count = int(cursor.rowcount)
            if count < 0:
                raise AssertionError("PostgreSQL has not said how many rows it copied.")
            yield one.alias, count


class _CopyOut:
    """
    Copies rows out, which Django's own cursor has no method for.

    The log of queries and the execute wrappers see it as they see `execute()`, so what
    is run is what the wrappers have made of it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection, self.alias = connection, connection.alias
        self._opened = contextlib.ExitStack()
        self._copy: Any = ()

    def __enter__(self) -> "_CopyOut":
        self._cursor = self._opened.enter_context(self._connection.cursor())
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if error is not None and not self._connection.get_autocommit():
            # To be told to stop would break its transaction.
            with contextlib.suppress(Exception):
                for _ in self._copy:
                    pass
        return self._opened.__exit__(kind, error, trace)

    def execute(self, sql: str, params: Any) -> None:
        """Begin; returns when the first block has come, or all is done."""
        with contextlib.ExitStack() as log:
            if isinstance(self._cursor, CursorDebugWrapper):
                entry = self._cursor.debug_sql(
                    sql, params, use_last_executed_query=True
                )
                log.enter_context(entry)
            self._cursor._execute_with_wrappers(
                sql, params, many=False, executor=self._begin
            )

    def _begin(self, sql: str, params: Any, many: bool, context: Any) -> None:
        self._connection.validate_no_broken_transaction()
        query = merged(self._connection, sql, params)
        out = f"COPY ({query}) TO STDOUT (FORMAT BINARY)"
        with self._connection.wrap_database_errors:
            self._copy = self._opened.enter_context(self._cursor.cursor.copy(out))

    def chunks(self) -> Iterator[bytearray]:
        """Yield what comes, many rows at once: each call of a driver takes its time."""
        chunk = bytearray()
        with naming(self.alias), self._connection.wrap_database_errors:
            for row in self._copy:
                chunk += row
                if len(chunk) >= _CHUNK:
                    yield chunk
                    chunk = bytearray()
        yield chunk


def merged(connection: Any, sql: str, params: Any) -> str:
    """Return the SQL with its parameters in it, for statements that take none."""
    import psycopg

    with contextlib.closing(psycopg.ClientCursor(connection.connection)) as cursor:
        return str(cursor.mogrify(sql, params))


def _by_inserts(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> Iterator[tuple[Alias, int]]:
    into = _insert(target, table, columns, "%s")
    with contextlib.closing(target.connection.cursor()) as cursor:
        yield from _in_blocks(source, partial(cursor.executemany, into))


def _by_inserts_on_sqlite(
    target: Any, table: str, columns: Sequence[str], source: Source
) -> Iterator[tuple[Alias, int]]:
    into = _insert(target, table, columns, "?")
    yield from _in_blocks(source, partial(target.connection.executemany, into))


def _in_blocks(
    source: Source, write: Callable[[Any], Any]
) -> Iterator[tuple[Alias, int]]:
    """Write the rows some at a time."""
    with contextlib.ExitStack() as stack:
        asked = []
        for connection in source.connections:
            with naming(connection.alias):
                cursor = stack.enter_context(connection.cursor())
            one = Asked(alias=connection.alias, connection=connection, cursor=cursor)
            asked.append(one)
        ask(asked, source.sql, source.params)
        for one in asked:
            count = 0
            while block := _block(one):
                write(block)
                count += len(block)
            yield one.alias, count


def _block(one: Asked) -> Any:
    with naming(one.alias):
        return one.cursor.fetchmany(_AT_ONCE)


def _insert(target: Any, table: str, columns: Sequence[str], mark: str) -> str:
    quote = target.ops.quote_name
    listed = ", ".join(map(quote, columns))
    marks = ", ".join([mark] * len(columns))
    return f"INSERT INTO {quote(table)} ({listed}) VALUES ({marks})"
