"""
Takes the one row that each shard gives for an aggregate, makes one of them. Pure.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import Count, Max, Min, Sum, Value
from django.db.models.functions import Coalesce

from shoal.sharding.conditions import is_rewritten
from shoal.sharding.ordering import comparable, is_alike

DIGITS = 2000
"""More than a number of any server has, so that no sum is rounded."""

Fold = Callable[[Sequence[Any]], Any]


def fold_of(expression: Any, vendor: str) -> Fold | None:
    """Return what makes one value of the shards' values; `None`: nothing exact."""
    kind = type(expression)
    if kind is Coalesce:
        return _sum if _is_sum_or_zero(expression) else None
    if getattr(expression, "distinct", True) or is_rewritten(expression):
        return None
    if kind is Count:
        return sum
    if kind is Sum:
        return _sum
    if kind in (Min, Max) and is_alike(expression, vendor):
        return _least if kind is Min else _most
    return None


def _is_sum_or_zero(expression: Any) -> bool:
    """Say whether this is `Sum(..., default=0)`: a shard without rows adds nothing."""
    first, *others = expression.get_source_expressions()
    plain = type(first) is Sum and not getattr(first, "distinct", True)
    plain = plain and not is_rewritten(first)
    return plain and all(type(one) is Value and one.value == 0 for one in others)


def fold(rows: Sequence[Sequence[Any]], folds: Sequence[Fold]) -> tuple[Any, ...]:
    columns = zip(*rows, strict=True)
    return tuple(fold(column) for fold, column in zip(folds, columns, strict=True))


def _there(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _sum(values: Sequence[Any]) -> Any:
    there = _there(values)
    if not there:
        return None
    if any(isinstance(value, Decimal) for value in there):
        with localcontext(prec=DIGITS):
            return sum(there[1:], there[0])
    return sum(there[1:], there[0])


def _least(values: Sequence[Any]) -> Any:
    return min(_there(values), key=comparable, default=None)


def _most(values: Sequence[Any]) -> Any:
    return max(_there(values), key=comparable, default=None)
