"""
Takes the conditions of a query, gives those that can be said of one table alone. Pure.

A row that fails one of them cannot matter to the query, so it need not be fetched.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import (
    Aggregate,
    ExpressionWrapper,
    Func,
    Value,
    functions,
)
from django.db.models.expressions import (
    Col,
    CombinedExpression,
    DurationExpression,
    RawSQL,
)
from django.db.models.functions import Now, Random
from django.db.models.lookups import Lookup
from django.db.models.sql.constants import INNER
from django.db.models.sql.where import AND, WhereNode

_PLAIN = (Col, Value, CombinedExpression, ExpressionWrapper, Func)
_RANDOM = ("Random", "UUID4", "UUID7")
_FICKLE = (Now, RawSQL, *(getattr(functions, name, Random) for name in _RANDOM))
"""Not all of them are in each Django."""
_NOT_PLAIN = (Aggregate, DurationExpression, *_FICKLE)


def is_fickle(expression: Any) -> bool:
    """Say whether two servers may give an expression two values for the same row."""
    return any(
        is_fickle_kind(type(part)) or is_rewritten(part)
        for part in expression.flatten()
    )


def is_rewritten(expression: Any) -> bool:
    """Say whether a function is told what SQL it is: `Func("a", function="F")`."""
    return bool(getattr(expression, "extra", None))


def is_fickle_kind(kind: type) -> bool:
    """
    Say it of one kind of expression, whatever stands inside.

    The clock and chance do, and whatever function is not one of Django's own.
    """
    own = kind.__module__.startswith("django.db.models.")
    return issubclass(kind, _FICKLE) or (issubclass(kind, Func) and not own)


def conjuncts(where: Any) -> Iterator[Any]:
    """Yield what must hold of every row, taken apart at `AND`."""
    if isinstance(where, WhereNode):
        if where.negated or where.connector != AND:
            yield where
            return
        for child in where.children:
            yield from conjuncts(child)
    else:
        yield where


def of_alias(where: Any, alias: str, join: Any) -> list[Any]:
    """Return the conditions on the rows of `alias` that nothing else takes part in."""
    if getattr(join, "join_type", None) not in (None, INNER):
        # Rows that are missing on this side are there as NULLs.
        return []
    return [c for c in conjuncts(where) if aliases_of(c) == {alias}]


def aliases_of(condition: Any) -> set[str] | None:
    """Return the aliases whose columns a condition reads; `None` if it reads more."""
    found: set[str] = set()
    for part in _parts(condition):
        if part is None:
            return None
        found.add(part)
    return found


def _parts(node: Any) -> Iterator[str | None]:
    if isinstance(node, Col):
        yield node.alias
    elif isinstance(node, WhereNode):
        yield from _parts(node.children)
    elif isinstance(node, list | tuple):
        for child in node:
            yield from _parts(child)
    elif isinstance(node, Lookup):
        yield from _parts([node.lhs, node.rhs])
        if node.bilateral_transforms:
            yield None
    elif is_rewritten(node):
        yield None
    elif isinstance(node, _PLAIN) and not isinstance(node, _NOT_PLAIN):
        yield from _parts(node.get_source_expressions())
    elif hasattr(node, "as_sql") or hasattr(node, "resolve_expression"):
        yield None
