"""
Takes the ORDER BY of a query, gives what shards have to send for it, and merges rows by
it. Pure.

Only values are compared here which Python orders as the database does. Texts are not:
their order is a collation's.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldError
from django.db.models.expressions import Col, ColPairs, Ref
from django.db.models.functions import Collate, Random

from shoal.placement.keys import end_of

Row = Sequence[Any]

_NUMBERS = {
    "AutoField",
    "BigAutoField",
    "BigIntegerField",
    "BooleanField",
    "DecimalField",
    "FloatField",
    "IntegerField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "SmallAutoField",
    "SmallIntegerField",
}
_TIMES = {"DateField", "DateTimeField", "TimeField"}
_ALIKE = {
    "postgresql": _NUMBERS | _TIMES | {"UUIDField"},
    "mysql": _NUMBERS | _TIMES | {"DurationField"},
}
"""Kinds of fields whose values, as drivers return them, have the server's order."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One expression of an ORDER BY."""

    index: int
    """Its column among those that a shard sends."""
    descending: bool
    nulls_first: bool


class OrderKeys:
    """The columns that a shard sends for the order of its rows, beside its answer."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor
        self.keys: list[OrderKey] = []
        self.is_alike = True
        """Whether rows can be merged by them."""
        self.are_by_value = False
        """Whether other values in the same SQL might be found elsewhere."""
        self.there: list[tuple[str, tuple[Any, ...]]] = []
        """The SQL of each column that a shard sends."""
        self.more: list[str] = []
        """What those columns are called that it sends beside its answer."""
        self.width: int | None = None
        """Columns of the answer itself; `None`: there are no others."""

    def add(
        self, compiler: Any, order_by: list[Any], select: Sequence[Any]
    ) -> list[Any]:
        """
        Note where each expression is found; return those to select in addition.

        Chance is selected, and in `order_by` that column is named: it would be another.
        """
        query = compiler.query
        there = [one for selected in select for one in _columns(compiler, selected)]
        widths = accumulate((_width(one) for one, _, _ in select), initial=0)
        aliases = {alias: at for at, (_, _, alias) in zip(widths, select, strict=False)}
        width, more = len(there), list[Any]()

        def place(source: Any) -> int:
            sql, params = compiler.compile(source)
            one = (sql, tuple(params))
            if one not in there:
                more.append((source, (sql, params), f"shoal_{len(there)}"))
                there.append(one)
            elif params:
                self.are_by_value = True
            return there.index(one)

        # Django leaves out what only the model says of the order of groups.
        is_left_out = query.group_by is not None and compiler._meta_ordering
        for at, (order, sql) in enumerate(() if is_left_out else order_by):
            source: Any = order.expression
            nulls_first = _nulls_first(order, self._vendor)
            if isinstance(source, Ref):
                named: Any = source
                places, sources = [aliases[named.refs]], [named.source]
                # Django counts a composite primary key as one column.
                column = getattr(named, "ordinal", places[0] + 1)
                self.is_alike &= column == places[0] + 1
            else:
                sources = _parts(source)
                places = [place(part) for part in sources]
            order_by[at] = order, _by_column(compiler, order, places[0], sql)
            self.is_alike &= all(is_alike(part, self._vendor) for part in sources)
            for index in places:
                self.keys.append(OrderKey(index, order.descending, nulls_first))
        # Rows that are equal in this come by their primary key.
        for column in _primary_key(query) if query.group_by is None else ():
            sql, params = compiler.compile(column)
            # What is not selected would make more rows different.
            is_fixed = query.distinct and not query.distinct_fields
            if not is_fixed or (sql, tuple(params)) in there:
                self.keys.append(OrderKey(place(column), False, nulls_first=False))
        self.there, self.more = there, [alias for _, _, alias in more]
        self.width = width if more else None
        return more


def _by_column(compiler: Any, order: Any, index: int, sql: Any) -> Any:
    """Return the SQL of an order, for chance that of the column with its values."""
    if not isinstance(order.expression, Random):
        return sql
    name = compiler.connection.ops.quote_name(f"shoal_{index}")
    return f"{name} DESC" if order.descending else name, (), True


def _parts(expression: Any) -> list[Any]:
    """Return the columns of a composite primary key, or the one expression."""
    return list(expression.get_cols() if _width(expression) > 1 else [expression])


def _width(expression: Any) -> int:
    is_composite = isinstance(expression, ColPairs)
    return len(expression.get_cols()) if is_composite else 1


def _columns(compiler: Any, selected: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the SQL of each column that is selected."""
    expression, (sql, params), _ = selected
    if _width(expression) == 1:
        yield sql, tuple(params)
        return
    for part in expression.get_cols():
        sql, params = compiler.compile(part)
        yield sql, tuple(params)


def _primary_key(query: Any) -> list[Any]:
    meta, alias = query.get_meta(), query.base_table
    if meta is None or alias is None:
        return []
    fields = getattr(meta.pk, "fields", None) or [meta.pk]
    own = [field for field in fields if field.model is meta.concrete_model]
    return [field.get_col(alias) for field in own]


def _nulls_first(order: Any, vendor: str) -> bool:
    if order.nulls_first or order.nulls_last:
        return bool(order.nulls_first)
    # PostgreSQL takes a NULL for larger than any value, the others for smaller.
    return bool(order.descending) == (vendor == "postgresql")


def is_alike(expression: Any, vendor: str) -> bool:
    """Say whether Python orders the values of an expression as the server does."""
    try:
        kind = end_of(expression.output_field).get_internal_type()
    except (AttributeError, FieldError):
        return False
    if vendor == "sqlite":
        # Whatever the field, SQLite orders what is stored: numbers, texts, bytes.
        # A `Q` has no parts to look at, and is true or not.
        parts = expression.flatten() if hasattr(expression, "flatten") else ()
        return not any(map(_has_collation, parts))
    if vendor == "postgresql" and kind == "DateTimeField" and _is_ambiguous():
        return False
    return kind in _ALIKE[vendor]


def _is_ambiguous() -> bool:
    """Say whether times come without a zone, in one that may set its clocks back."""
    return not settings.USE_TZ and settings.TIME_ZONE != "UTC"


def _has_collation(part: Any) -> bool:
    target = part.target if isinstance(part, Col) else None
    return isinstance(part, Collate) or bool(getattr(target, "db_collation", None))


def merged(parts: Iterable[Iterable[Row]], keys: Sequence[OrderKey]) -> Iterator[Row]:
    """Yield rows of sorted parts in their common order, holding one row of each."""
    if not keys:
        for part in parts:
            yield from part
        return
    yield from heapq.merge(*parts, key=_key(keys))


def sorted_rows(rows: list[Row], keys: Sequence[OrderKey]) -> list[Row]:
    """Sort rows in memory; what is sorted in runs already costs little."""
    for key in reversed(keys):
        rows.sort(key=_key([key]))
    return rows


def _key(keys: Sequence[OrderKey]) -> Callable[[Row], Any]:
    made = [_key_of(key) for key in keys]
    if len(made) == 1:
        return made[0]
    return lambda row: [make(row) for make in made]


def _key_of(key: OrderKey) -> Callable[[Row], Any]:
    get, null = itemgetter(key.index), (-1 if key.nulls_first else 1, 0)
    of: Any = _Down if key.descending else comparable
    return lambda row: null if (v := get(row)) is None else (0, of(v))


def comparable(value: Any) -> Any:
    """Return what has the order of a value that is there."""
    if isinstance(value, float | Decimal):
        # PostgreSQL: larger than any number, and equal to itself.
        return (1, 0) if math.isnan(value) else (0, value)
    if isinstance(value, int):
        return (0, value)
    if isinstance(value, str | bytes):
        # SQLite has different types in one column: numbers, then texts, then bytes.
        return (2 + isinstance(value, bytes), value)
    if isinstance(value, datetime) and value.tzinfo not in (None, UTC):
        # In one zone, Python compares what the clock shows, which it may show twice.
        return (2, value.astimezone(UTC))
    return (2, value)


class _Down:
    """A value whose order is the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = comparable(value)

    def __lt__(self, other: "_Down") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]
