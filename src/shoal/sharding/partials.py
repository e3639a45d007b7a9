"""
Takes an aggregate, gives what each shard computes of it, and the SQL that makes the
whole of these.

The engine that would have computed it over all rows computes it over the parts, so that
it rounds as always, and gives the same type.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from django.db.models import (
    Avg,
    Case,
    Count,
    DecimalField,
    DurationField,
    Max,
    Min,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import ColPairs, Combinable

from shoal.sharding.ordering import is_alike
from shoal.sharding.scratch.columns import declared_type

SQL: TypeAlias = tuple[str, tuple[Any, ...]]
TABLE = "shoal_parts"
"""Stands before each column: a bare name might be that of an annotation."""
SAME_AGAIN = ("BitAnd", "BitOr", "BitXor", "BoolAnd", "BoolOr")
"""Of `django.contrib.postgres`: the same function over what it gave."""
TYPE_OF_COUNT = {"postgresql": "bigint", "mysql": "signed", "sqlite": "integer"}
IMPRECISE = "real"
"""PostgreSQL adds these with more digits than it returns."""


class NotProven(Exception):
    """Nothing says that the parts make the answer of one database."""


class Parts:
    """The columns of what shards send: what they group by, and what they compute."""

    def __init__(self, compiler: Any, groups: Sequence[Any]) -> None:
        self.compiler = compiler
        """Compiles for the shards."""
        self.vendor = compiler.connection.vendor
        self.groups: list[SQL] = []
        self.members: list[SQL] = []
        """What else shards group by: values of which equal ones count once."""
        self.values: list[SQL] = []
        self.types: Mapping[str, str] = {}
        """The server's names for the types of the columns, once they are known."""
        self.declared: dict[str, str] = {}
        """Those of columns that just hold what a table has, for SQLite."""
        for expression in groups:
            # A constant tells no groups apart.
            if not isinstance(expression, Value):
                self.group(expression)
        if groups and not self.groups:
            # All rows are equal, and of no rows there is none.
            self.groups.append(("1", ()))

    @property
    def columns(self) -> list[str]:
        lists = ("g", self.groups), ("m", self.members), ("v", self.values)
        return [f"{letter}{n}" for letter, all_ in lists for n in range(len(all_))]

    @property
    def expressions(self) -> list[SQL]:
        """The SQL of the columns."""
        return [*self.groups, *self.members, *self.values]

    def group(self, expression: Any) -> str:
        """Return the column of something that the query groups by."""
        self._require_plain(expression)
        column = f"g{_place(self._sql(expression), self.groups)}"
        self.declared[column] = declared_type(expression, self.compiler.connection)
        return f"{TABLE}.{column}"

    def _member(self, expression: Any) -> str:
        self._require_plain(expression)
        return f"{TABLE}.m{_place(self._sql(expression), self.members)}"

    def group_of(self, expression: Any) -> str | None:
        """Return the column that has the values of an expression, if one has."""
        at = _index(self._sql(expression), self.groups)
        return None if at is None else f"{TABLE}.g{at}"

    def _value(self, expression: Any) -> str:
        self._require_exact(expression)
        return f"{TABLE}.v{_place(self._sql(expression), self.values)}"

    def _sql(self, expression: Any) -> SQL:
        sql, params = self.compiler.compile(expression)
        return sql, tuple(params)

    def whole(self, aggregate: Any) -> str:
        """Return the SQL of an aggregate over the parts; raise `NotProven`."""
        kind = type(aggregate)
        if aggregate.extra or getattr(aggregate, "order_by", None):
            raise NotProven
        if self.vendor == "mysql" and isinstance(aggregate.output_field, DurationField):
            raise NotProven
        if getattr(aggregate, "distinct", False):
            sql = self._distinct(aggregate)
        elif kind is Count:
            sum_ = f"COALESCE(SUM({self._value(aggregate)}), 0)"
            sql = f"CAST({sum_} AS {TYPE_OF_COUNT[self.vendor]})"
        elif kind is Sum:
            sql = self._sum(self._value(aggregate))
        elif kind in (Min, Max):
            self._require_plain(aggregate)
            sql = f"{aggregate.function}({self._value(aggregate)})"
        elif kind is Avg:
            sql = self._average(aggregate)
        elif kind.__name__ in SAME_AGAIN and _is_postgres(kind):
            sql = f"{aggregate.function}({self._value(aggregate)})"
        else:
            raise NotProven
        is_decimal = isinstance(aggregate.output_field, DecimalField)
        return (
            f"CAST({sql} AS NUMERIC)" if is_decimal and self.vendor == "sqlite" else sql
        )

    def _sum(self, column: str) -> str:
        type_ = self._type(column)
        return f"CAST(SUM({column}) AS {type_})" if type_ else f"SUM({column})"

    def _average(self, aggregate: Any) -> str:
        added = _as(Sum, aggregate)
        if self.vendor == "sqlite":
            # As its AVG, it goes on with a float where integers are at their end.
            added.function = "TOTAL"
        sum_, count = self._value(added), self._value(_as(Count, aggregate))
        divisor = f"NULLIF(SUM({count}), 0)"
        if self.vendor == "sqlite":
            return f"(TOTAL({sum_}) / {divisor})"
        if self._type(sum_) in ("double precision", "interval"):
            return f"(SUM({sum_}) / CAST({divisor} AS double precision))"
        return f"(SUM({sum_}) / {divisor})"

    def _distinct(self, aggregate: Any) -> str:
        """Have shards group by the value as well, so that equal ones meet."""
        if type(aggregate) not in (Count, Sum, Avg, Min, Max):
            raise NotProven
        sources = [s for s in aggregate.get_source_expressions() if s is not None]
        filter_ = aggregate.filter
        if len(sources) != (2 if filter_ is not None else 1):
            raise NotProven
        value = sources[0]
        if filter_ is not None:
            condition = getattr(filter_, "condition", filter_)
            value = Case(When(condition, then=value), output_field=value.output_field)
        return f"{aggregate.function}(DISTINCT {self._member(value)})"

    def _type(self, column: str) -> str:
        type_ = self.types.get(column.removeprefix(f"{TABLE}."), "")
        if type_ == IMPRECISE:
            raise NotProven
        return type_

    def _require_plain(self, expression: Any) -> None:
        """
        Refuse several columns in one, and on SQLite collations.

        The columns there have none, so other texts would be equal.
        """
        if isinstance(expression, ColPairs):
            raise NotProven
        if self.vendor == "sqlite" and not is_alike(expression, self.vendor):
            raise NotProven
        self._require_exact(expression)

    def _require_exact(self, expression: Any) -> None:
        """Refuse quotients on MariaDB: it counts with more digits than it returns."""
        if self.vendor == "mysql" and _has_quotient(expression):
            raise NotProven


def _has_quotient(node: Any) -> bool:
    if getattr(node, "connector", None) == Combinable.DIV:
        return True
    return any(map(_has_quotient, getattr(node, "get_source_expressions", list)()))


def _place(sql: SQL, among: list[SQL]) -> int:
    at = _index(sql, among)
    if at is not None:
        return at
    among.append(sql)
    return len(among) - 1


def _index(sql: SQL, among: list[SQL]) -> int | None:
    """Return where the same SQL is; 1 is equal to 1.0 and `True`, but not the same."""
    values = _told(sql[1])
    for at, other in enumerate(among):
        if sql[0] == other[0] and values == _told(other[1]):
            return at
    return None


def _told(value: Any) -> Any:
    """Return what tells a parameter, which each compilation may wrap anew."""
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    # psycopg's wrappers of JSON and of bytes have what they wrap as `obj`.
    is_bytes = isinstance(value, memoryview)
    wrapped = bytes(value) if is_bytes else getattr(value, "obj", value)
    return type(value), repr(wrapped)


def _as(kind: type, aggregate: Any) -> Any:
    """Return another aggregate of the same values."""
    made = aggregate.copy()
    made.__class__ = kind
    return made


def _is_postgres(kind: type) -> bool:
    return kind.__module__.startswith("django.contrib.postgres.")
