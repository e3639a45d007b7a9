"""
Takes a table to gather, gives the condition with which its rows are fetched.

What the query says of this table alone, and what joins with the tables that have been
fetched leave of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models.sql.where import AND, OR, WhereNode

from shoal.sharding.occurrences import Occurrence
from shoal.sharding.reducing import MOST_VALUES, Edge, edges, own_conditions
from shoal.sharding.tables import Table

ALIAS = "T0"
"""What a table is called where its rows are fetched. Django's own begin with T2."""


class Narrowing:
    """Narrows what one statement fetches."""

    kept: Sequence[Any] | None = None
    """Primary keys: of its main table only these rows are fetched."""

    def __init__(self, compiler: Any, scratch: Any) -> None:
        self._compiler, self._scratch = compiler, scratch
        self._connection = compiler.connection

    def where(self, table: Table, there: Sequence[str]) -> tuple[str, Sequence[Any]]:
        """
        Return a WHERE that rows of the table must fulfil, wherever it occurs.

        `there` are the names of the tables that have been fetched.
        """
        either = WhereNode(connector=OR)
        for one in table.occurrences:
            own = [c.relabeled_clone({one.alias: ALIAS}) for c in own_conditions(one)]
            both = [*own, *self._joined(one, there), *self._among_kept(one)]
            if not both:
                return "", ()
            either.children.append(WhereNode(connector=AND, children=both))
        try:
            sql, params = either.as_sql(self._compiler, self._connection)
        except FullResultSet:
            return "", ()
        except EmptyResultSet:
            return " WHERE 1 = 0", ()
        return f" WHERE {sql}", params

    def first(self, waiting: Sequence[Table]) -> Table | None:
        """Return the main table if its rows are known: they leave few of the others."""
        if self.kept is None:
            return None
        return next(
            (one for one in waiting if any(map(is_main, one.occurrences))), None
        )

    def _among_kept(self, one: Occurrence) -> Iterator[Any]:
        """Yield that a row of the main table is one of those that matter."""
        if self.kept is not None and is_main(one):
            yield _Among(self._compiler.query.get_meta().pk.column, self.kept)

    def _joined(self, one: Occurrence, there: Sequence[str]) -> Iterator[Any]:
        """Yield that a column has one of the values that the other side has."""
        for edge in edges(one):
            values = self._values(edge) if edge.table in there else None
            if values is not None:
                yield _Among(edge.column, values)

    def _values(self, edge: Edge) -> list[Any] | None:
        quote = self._connection.ops.quote_name
        column, table = quote(edge.other_column), quote(edge.table)
        with self._scratch.cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT {column} FROM {table} "
                f"WHERE {column} IS NOT NULL LIMIT {MOST_VALUES + 1}"
            )
            values = [row[0] for row in cursor.fetchall()]
        return values if len(values) <= MOST_VALUES else None


def is_main(one: Occurrence) -> bool:
    """Say whether it is the table whose rows the query is about."""
    is_outermost = one.level is not None and one.level.outer is None
    return is_outermost and getattr(one.join, "parent_alias", None) is None


@dataclass(frozen=True)
class _Among:
    """A condition of a WHERE, for its compiler."""

    column: str
    values: Sequence[Any]
    contains_aggregate = False
    contains_over_clause = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        if not self.values:
            raise EmptyResultSet
        quote = connection.ops.quote_name
        marks = ", ".join(["%s"] * len(self.values))
        name = f"{quote(ALIAS)}.{quote(self.column)}"
        return f"{name} IN ({marks})", list(self.values)
