"""
Takes a query that puts rows of several shards together, lets each shard put its own
together, and the home server these.

For groups that are not by the key, and for aggregates that Python does not add up. What
shards send is brought to the scratch connection, as few rows as they have groups.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import Aggregate, DecimalField, Exists, Subquery
from django.db.models.expressions import Col, ColPairs, ResolvedOuterRef
from django.db.models.lookups import Lookup
from django.db.models.sql.query import Query

from shoal.sharding.occurrences import Level, Levels, Noted
from shoal.sharding.partials import SQL, TABLE, NotProven, Parts
from shoal.types import Alias


def regrouped(compiler: Any, base: Level, where: Any) -> "Whole":
    """Return how it is done; raise `NotProven`."""
    connection, query = compiler.connection, compiler.query
    if not _is_put_together(query) or base.windows:
        raise NotProven
    found = where.anchors(base)
    if not found:
        raise NotProven
    groups = (base.groups or ()) if query.group_by is not None else base.selected
    refcounts, noted = query.alias_refcount.copy(), Noted(Levels())
    noted.levels.enter(query)
    try:
        with connection.answering(noted):
            plain = query.get_compiler(using=connection.alias)
            kind: Any = type(plain)
            whole: Whole = _whole_over(kind)(query, connection, connection.alias)
            whole.prepare(plain, groups if query.group_by or query.distinct else ())
    finally:
        query.reset_refcounts(refcounts)
    whole.shards = where.shards_of(found[0])
    whole.whole("", is_within=True)
    return whole


def _is_put_together(query: Any) -> bool:
    """Say whether a query makes one row of several in a way that is understood here."""
    if query.select_for_update or query.explain_info or query.combinator:
        return False
    if query.distinct_fields or query.where.contains_over_clause:
        return False
    if hasattr(query, "inner_query") or query.extra_select:
        return False
    if query.group_by is None and query.where.contains_aggregate:
        return False
    made = query.annotation_select.values()
    is_one_row = any(one.contains_aggregate for one in made)
    return query.group_by is not None or is_one_row or query.distinct


class Whole:
    """Goes before the vendor's compiler: compiles over parts, and not over rows."""

    connection: Any
    query: Any
    parts: Parts
    _from: tuple[str, list[Any]]
    _where: tuple[str, Sequence[Any]]
    _keyed: set[str]
    """The tables of whose rows each makes a group."""
    shards: Sequence[Alias]
    made = "groups"
    way_out = "Filter further, group by the key, or raise MAX_GATHER_ROWS."

    @property
    def columns(self) -> Sequence[str]:
        return self.parts.columns

    @property
    def declared(self) -> Mapping[str, str]:
        return self.parts.declared

    @property
    def types(self) -> Mapping[str, str]:
        return self.parts.types

    @types.setter
    def types(self, types: Mapping[str, str]) -> None:
        self.parts.types = types

    def prepare(self, plain: Any, groups: Sequence[Any]) -> None:
        """Have the query taken apart by the compiler for the shards."""
        self._plain = plain
        self._extra, self._order_by, _ = plain.pre_sql_setup(with_col_aliases=True)
        tables, params = plain.get_from_clause()
        self._from = " ".join(tables), params
        self._where = self._condition(plain.where, plain)
        self.parts = Parts(plain, groups)
        keys = [one for one in groups if isinstance(one, Col)]
        self._keyed = {one.alias for one in keys if one.target.primary_key}

    def _condition(self, condition: Any, compiler: Any) -> tuple[str, Sequence[Any]]:
        """Return the SQL of a condition, empty where every row fulfils it."""
        if condition is None:
            return "", ()
        try:
            sql, params = compiler.compile(condition)
        except FullResultSet:
            return "", ()
        return sql, params

    def compile(self, node: Any) -> Any:
        if isinstance(node, Aggregate):
            return self.parts.whole(node), ()
        column = self._column(node) if hasattr(node, "resolve_expression") else None
        if column is not None:
            return column, ()
        if isinstance(node, Subquery | Exists | Query | ResolvedOuterRef | ColPairs):
            raise NotProven
        if isinstance(node, Col):
            # What is not grouped by hangs on the primary key that is.
            is_grouped = self.query.group_by is not None
            if not (node.alias in self._keyed if is_grouped else self.query.distinct):
                raise NotProven
            return self.parts.group(node), ()
        if isinstance(node, Lookup) and self._compares_as_declared(node):
            raise NotProven
        return super().compile(node)  # type: ignore[misc]

    def _compares_as_declared(self, node: Any) -> bool:
        """Say whether SQLite asks for a column's type, which is not there any more."""
        if self.connection.vendor != "sqlite" or not _has_columns(node):
            return False
        kind = getattr(node.lhs, "output_field", None)
        return isinstance(kind, DecimalField) or not node.rhs_is_direct_value()

    def _column(self, node: Any) -> str | None:
        if getattr(node, "contains_aggregate", False):
            return None
        try:
            return self.parts.group_of(node)
        except (EmptyResultSet, FullResultSet):
            return None

    def part(self) -> SQL:
        """Return what each shard is asked: its groups, and what it computes of each."""
        listed = self.parts.expressions
        named = zip(listed, self.parts.columns, strict=True)
        sql = "SELECT " + ", ".join(f"{one[0]} AS {name}" for one, name in named)
        params = [param for one in listed for param in one[1]]
        sql, params = f"{sql} FROM {self._from[0]}", [*params, *self._from[1]]
        if self._where[0]:
            sql, params = f"{sql} WHERE {self._where[0]}", [*params, *self._where[1]]
        together = len(self.parts.groups) + len(self.parts.members)
        if together:
            # By their places: a constant would be taken for one.
            sql += " GROUP BY " + ", ".join(str(n + 1) for n in range(together))
        return sql, tuple(params)

    def whole(self, table: str, *, is_within: bool) -> SQL:
        """Return the query over the table of parts; raise `NotProven`."""
        # Nobody else's compiler notes what is compiled of it.
        with self.connection.answering(Noted(Levels())):
            return self._whole(table)

    def _whole(self, table: str) -> SQL:
        plain, query, quote = self._plain, self.query, self.connection.ops.quote_name
        sql = ["SELECT DISTINCT" if query.distinct else "SELECT"]
        params: list[Any] = []
        listed = []
        # What Django selects for DISTINCT, to order by it.
        extra = [(order.expression, sql, alias) for order, sql, alias in self._extra]
        for expression, _, alias in [*plain.select, *extra]:
            one, its_params = self.compile(expression)
            one, its_params = expression.select_format(self, one, its_params)
            listed.append(f"{one} AS {quote(alias)}" if alias else one)
            params += its_params
        sql += [", ".join(listed), "FROM", table, TABLE]
        if query.group_by is not None:
            if not self.parts.groups:
                raise NotProven
            groups = ", ".join(f"{TABLE}.g{n}" for n in range(len(self.parts.groups)))
            sql += ["GROUP BY", groups]
        having, its_params = self._condition(plain.having, self)
        if having:
            sql += ["HAVING", having]
            params += its_params
        if self._order_by and not (query.group_by is not None and plain._meta_ordering):
            ordered = [self.compile(order) for order, _ in self._order_by]
            sql += ["ORDER BY", ", ".join(one for one, _ in ordered)]
            params += [param for _, its in ordered for param in its]
        if query.is_sliced:
            limit = self.connection.ops.limit_offset_sql
            sql.append(limit(query.low_mark, query.high_mark))
        return " ".join(sql), tuple(params)


def _has_columns(node: Any) -> bool:
    """Say whether columns stand in it outside of aggregates."""
    if isinstance(node, Aggregate):
        return False
    sources: Any = getattr(node, "get_source_expressions", list)()
    return isinstance(node, Col) or any(map(_has_columns, sources))


@functools.cache
def _whole_over(kind: Any) -> Any:
    return type(kind.__name__, (Whole, kind), {"__module__": __name__})
