"""
Takes a query, lets shards make the rows and groups that it is made of, and the home
server the answer of these.

What shards send goes to tables on the scratch connection, one for each SELECT, as few
rows as the answer needs of it. So the engine that would have answered over all rows
orders, joins equal rows, and adds up, by its own collations and types.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, DataError, ProgrammingError

from shoal.errors import GatherTooLarge
from shoal.sharding.carrying import Source, carry_each, read_columns
from shoal.sharding.gather import Rows
from shoal.sharding.naming import naming
from shoal.sharding.occurrences import Levels, note, occurrences, unspoilt
from shoal.sharding.partials import SQL, NotProven
from shoal.sharding.pieces import Piece
from shoal.sharding.regrouping import regrouped
from shoal.sharding.scratch import Column, home_name
from shoal.sharding.sorting import sorted_apart
from shoal.sharding.where import Where
from shoal.types import Alias

NO_WAY = (1118, 1267, 1270, 1271)
"""
MariaDB's codes of operational errors: a row is too large, collations do not mix.
https://mariadb.com/kb/en/mariadb-error-code-reference/
"""


def composing(compiler: Any, levels: Levels, where: Any) -> "Composed | None":
    """Return how it is done; `None` if nothing proves that it is right."""
    query = compiler.query
    if query.select_for_update or query.explain_info:
        return None
    if levels.by_hand or levels.is_fickle or compiler.connection.changes_tables:
        return None
    composed = Composed(compiler)
    try:
        if not _is_of_others(query):
            composed.add(_piece(compiler, levels, where))
        composed.whole()
    except (NotProven, EmptyResultSet):
        return None
    return composed


def _is_of_others(query: Any) -> bool:
    """Say whether other queries stand where its tables would."""
    return bool(query.combinator) or hasattr(query, "inner_query")


def _is_set(query: Any) -> bool:
    """Say whether equal rows of the queries that it is made of are one of its own."""
    parts = query.combined_queries
    return not parts or (not query.combinator_all and all(map(_is_set, parts)))


def _piece(
    compiler: Any, levels: Levels, where: Any, *, is_of_set: bool = False
) -> Piece:
    """Return what shards make of one SELECT; raise `NotProven`."""
    tops = [level for level in levels.all if level.outer is None]
    if len(tops) != 1 or levels.by_hand or levels.is_fickle:
        raise NotProven
    try:
        return sorted_apart(compiler, tops[0], where, is_of_set=is_of_set)
    except NotProven:
        return regrouped(compiler, tops[0], where)


@dataclass(frozen=True, slots=True)
class Composing:
    """A statement that is compiled over pieces."""

    levels: Levels
    instead: Any
    """Takes the compiler of a query within; returns other SQL for it, or `None`."""


class Composed:
    """What shards are asked, and what is asked of their answers."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        self._connection = compiler.connection
        self._found: list[Piece | None] = []
        """In the order in which they are compiled; `None`: nothing can be in it."""
        self._met = 0
        self._outer = compiler.query
        self._width: int | None = None
        """Columns of the answer itself; `None`: there are no others."""

    @property
    def pieces(self) -> Sequence[Piece]:
        return [piece for piece in self._found if piece is not None]

    @property
    def shards(self) -> Sequence[Alias]:
        found = (alias for piece in self.pieces for alias in piece.shards)
        return list(dict.fromkeys(found))

    def whole(self) -> SQL:
        """Return what runs over the pieces; raise `NotProven`."""
        query = self._compiler.query
        if not _is_of_others(query):
            return self.pieces[0].whole(_table(0), is_within=False)
        query = unspoilt(query)
        if query.combinator:
            self._width = self._width_of(query)
        self._outer, self._met = query, 0
        with self._connection.answering(Composing(Levels(), self._instead)):
            again = query.get_compiler(
                using=self._connection.alias, elide_empty=self._compiler.elide_empty
            )
            sql, params = again.as_sql()
        return sql, tuple(params)

    def _width_of(self, query: Any) -> int:
        """Return how many columns its parts have as they are."""
        if query.selected is not None:
            return len(query.selected)
        while query.combinator:
            query = query.combined_queries[0]
        compiler = query.clone().get_compiler(using=self._connection.alias)
        compiler.setup_query()
        return len(compiler.select)

    def _instead(self, compiler: Any) -> SQL | None:
        query, outer = compiler.query, self._outer
        if query is outer or query.combinator:
            return None
        if query.subquery and query is not getattr(outer, "inner_query", None):
            # It stands in an expression, and may be of any row.
            raise NotProven
        if self._met == len(self._found):
            self.add(self._piece(compiler))
        number = self._met
        self._met += 1
        piece = self._found[number]
        if piece is None:
            raise EmptyResultSet
        return piece.whole(_table(number), is_within=True)

    def _piece(self, compiler: Any) -> Piece | None:
        try:
            levels = note(compiler)
            found = occurrences(levels, levels.sql)
            where = Where(self._connection, found)
            is_of_set = bool(self._outer.combinator) and _is_set(self._outer)
            return _piece(compiler, levels, where, is_of_set=is_of_set)
        except EmptyResultSet:
            return None

    def add(self, piece: Piece | None) -> None:
        self._found.append(piece)

    def _tables(self) -> Iterator[tuple[str, Piece]]:
        for number, piece in enumerate(self._found):
            if piece is not None:
                yield _table(number), piece

    def whole_over(self, scratch: Any) -> SQL | None:
        """Make the tables; return what runs over them, `None` if it is not proven."""
        for table, piece in self._tables():
            declared = piece.declared
            columns = [
                Column(name=name, type=declared.get(name, "")) for name in piece.columns
            ]
            try:
                scratch.make_for(table, columns, *piece.part())
            except DatabaseError as error:
                # Rows of an answer may be wider than those of a table.
                _require_no_way(error)
                return None
            piece.types = scratch.types(table)
        try:
            return self.whole()
        except NotProven:
            return None

    def answer(self) -> Rows | None:
        """Return the rows; `None` if only the home server says that this is no way."""
        name = home_name(self._connection)
        with self._connection.scratch.opened(name) as scratch:
            whole = self.whole_over(scratch)
            if whole is None:
                return None
            left = self._connection.cluster.max_gather_rows
            for table, piece in self._tables():
                left -= self._fill(scratch, table, piece, left)
            with scratch.cursor() as cursor:
                try:
                    cursor.execute(*whole)
                    return Rows(cursor, width=self._width)
                except DatabaseError as error:
                    # A constant takes the type and the collation of what it meets, and
                    # a column has its own. Where it is an error, rows give it as well.
                    _require_no_way(error)
                    return None

    def _fill(self, scratch: Any, table: str, piece: Piece, left: int) -> int:
        connections = []
        for alias in piece.shards:
            with naming(alias):
                connections.append(self._connection.shard_to_read(alias))
                connections[-1].ensure_connection()
        if not connections:
            return 0
        listed = read_columns(connections[0], piece.columns, "part")
        sql, params = piece.part()
        sql = f"SELECT {listed} FROM ({sql}) part LIMIT {left + 1}"
        source = Source(connections=connections, sql=sql, params=params)
        count = 0
        made = carry_each(scratch.connection, table, piece.columns, source)
        with contextlib.closing(made):
            for _, rows in made:
                count += rows
                if count > left:
                    raise self._too_large(piece)
        return count

    def _too_large(self, piece: Piece) -> GatherTooLarge:
        limit = self._connection.cluster.max_gather_rows
        return GatherTooLarge(
            f"A query over the shards of {self._connection.alias!r} makes more "
            f"than MAX_GATHER_ROWS = {limit} {piece.made} on them.",
            hint=piece.way_out,
        )


def _require_no_way(error: DatabaseError) -> None:
    """Raise the error, unless it says that the server does not take the statement."""
    code = error.args[0] if error.args else None
    if not isinstance(error, ProgrammingError | DataError) and code not in NO_WAY:
        raise error


def _table(number: int) -> str:
    return f"shoal_parts_{number}"
