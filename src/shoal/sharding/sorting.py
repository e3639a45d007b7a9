"""
Takes a SELECT whose rows shards make apart, gives what they send of it, and the SELECT
that puts all of that into the order of one database.

For what Python does not order as the server does, which are texts above all, and for
the rows of `distinct(*fields)`.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from django.db.models import Value, When
from django.db.models.functions import Collate

from shoal.sharding.colocation import is_apart, is_one_row
from shoal.sharding.occurrences import Level, Levels, Noted
from shoal.sharding.ordering import OrderKey, OrderKeys
from shoal.sharding.partials import SQL, TABLE, NotProven
from shoal.sharding.scratch.columns import declared_type
from shoal.types import Alias

LONGEST = 63
"""Bytes of a column's name: PostgreSQL cuts it off there, MariaDB refuses it soon."""


def sorted_apart(
    compiler: Any, base: Level, where: Any, *, is_of_set: bool
) -> "Sorted":
    """
    Return how it is done; raise `NotProven`.

    `is_of_set`: it stands where of equal rows one is as good as many.
    """
    found = where.anchors(base)
    if is_one_row(compiler.query) or not found or not is_apart(base, where, found):
        raise NotProven
    return Sorted(compiler, where.shards_of(found[0]), is_of_set=is_of_set)


class Sorted:
    """Rows of shards, put in order by the home server."""

    made = "rows"
    way_out = "Slice or filter further, or raise MAX_GATHER_ROWS."

    def __init__(
        self, compiler: Any, shards: Sequence[Alias], *, is_of_set: bool
    ) -> None:
        self.types: Mapping[str, str] = {}
        self.shards = shards
        connection = compiler.connection
        self._ops, self._vendor = connection.ops, connection.vendor
        self._query = compiler.query
        query = compiler.query.clone()
        # A slice begins at its first row on each shard.
        query.low_mark = 0
        # Else Django would leave out what it is ordered by.
        query.subquery = False
        if is_of_set and _is_constant(query) and not query.is_sliced:
            # As `exists()` asks of a union.
            query.set_limits(high=1)
        with connection.answering(Noted(Levels())):
            again = query.get_compiler(
                using=connection.alias, elide_empty=compiler.elide_empty
            )
            self._keys = again.order_keys = OrderKeys(connection.vendor)
            sql, params = again.as_sql(with_col_aliases=True)
            self._part = sql, tuple(params)
            self._selected = [alias for _, _, alias in again.select]
            self.declared = {
                alias: declared_type(expression, connection)
                for expression, _, alias in again.select
            }
            self.columns = [*self._selected, *self._keys.more]
            self._distinct = self._distinct_on(again)
        are_named = _are_names(self.columns)
        if not are_named or len(self._keys.there) != len(self.columns):
            raise NotProven
        # SQLite has types for values alone.
        self._is_open = connection.vendor != "sqlite" and any(
            map(_is_open, (expression for expression, _, _ in again.select))
        )
        if connection.vendor == "sqlite" and not self._keys.is_alike:
            # The columns there have no collations.
            raise NotProven

    def _distinct_on(self, compiler: Any) -> list[str]:
        """Return the columns of which only the first row with equal ones counts."""
        if not self._query.distinct_fields:
            return []
        given, params = compiler.get_distinct()
        if any(params):
            # The same SQL may be of other values.
            raise NotProven
        names = {self._ops.quote_name(name): name for name in self._selected}
        by_sql = {sql: n for n, (sql, params) in enumerate(self._keys.there)}
        return [
            names[one] if one in names else self._column_at(by_sql.get(one))
            for one in given
        ]

    def _column_at(self, index: int | None) -> str:
        if index is None or index >= len(self.columns):
            raise NotProven
        return str(self.columns[index])

    def part(self) -> SQL:
        return self._part

    def whole(self, table: str, *, is_within: bool) -> SQL:
        quote, query = self._ops.quote_name, self._query
        on = self._distinct
        if is_within and self._is_open:
            raise NotProven
        distinct = f"DISTINCT ON ({', '.join(map(self._named, on))}) " if on else ""
        listed = ", ".join(f"{self._named(n)} AS {quote(n)}" for n in self._selected)
        sql = [f"SELECT {distinct}{listed} FROM {table} {TABLE}"]
        order = self._order()
        is_ordered = query.is_sliced or on or not is_within
        if order and is_ordered:
            sql += ["ORDER BY", ", ".join(order)]
        if query.is_sliced:
            sql.append(self._ops.limit_offset_sql(query.low_mark, query.high_mark))
        return " ".join(sql), ()

    def _order(self) -> list[str]:
        """Return what rows are ordered by, in which those of one group lie together."""
        keys, on = self._keys.keys, self._distinct
        led = list(takewhile(lambda key: self.columns[key.index] in on, keys))
        first = {self.columns[key.index] for key in led}
        return [
            *map(self._ordered, led),
            *(self._named(name) for name in on if name not in first),
            *map(self._ordered, keys[len(led) :]),
        ]

    def _named(self, column: str) -> str:
        return f"{TABLE}.{self._ops.quote_name(column)}"

    def _ordered(self, key: OrderKey) -> str:
        column = self._named(self.columns[key.index])
        order = f"{column}{' DESC' * key.descending}"
        if self._vendor == "mysql":
            return f"{column} IS NULL{' DESC' * key.nulls_first}, {order}"
        return f"{order} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def _is_constant(query: Any) -> bool:
    """Say whether a query selects the same values of each row."""
    made = query.annotation_select.values()
    has_columns = query.default_cols or query.select or query.extra_select
    return not has_columns and all(isinstance(one, Value) for one in made)


def _are_names(columns: Sequence[str]) -> bool:
    """Say whether a table can have columns that are called so, in no case twice."""
    if not all(columns) or any(len(name.encode()) > LONGEST for name in columns):
        return False
    return len({name.lower() for name in columns}) == len(columns)


def _is_open(expression: Any) -> bool:
    """Say whether what it stands beside in a union gives it a type, or a collation."""
    parts = expression.flatten() if hasattr(expression, "flatten") else ()
    return _is_null(expression) or any(isinstance(part, Collate) for part in parts)


def _is_null(expression: Any) -> bool:
    if isinstance(expression, Value):
        return expression.value is None
    if isinstance(expression, When):
        return _is_null(expression.result)
    sources: Any = getattr(expression, "get_source_expressions", list)()
    return bool(sources) and all(map(_is_null, sources))
