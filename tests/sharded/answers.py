"""Takes the text of a query, gives what an alias answers: values that compare."""

import datetime
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import (
    FieldError,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
)
from django.db import Error, OperationalError, connections, models, transaction
from django.db.models import functions
from django.db.models.query import QuerySet

from tests.sharded import models as shop
from tests.sharded.shop import TWIN, routed_to

NAMES: dict[str, Any] = {
    **vars(models),
    **{name: getattr(functions, name) for name in functions.__all__},
    **{name: value for name, value in vars(shop).items() if isinstance(value, type)},
    "Decimal": Decimal,
    "date": datetime.date,
    "time": lambda *parts: datetime.datetime(*parts, tzinfo=datetime.UTC),
}
EXPECTED = (
    ArithmeticError,
    Error,
    FieldError,
    IndexError,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    TypeError,
    ValueError,
)


def answer(text: str, alias: str, keys: Mapping[str, list[Any]]) -> Any:
    """Return what the query gives on `alias`: an error counts as an answer."""

    def q(model: Any) -> Any:
        return model._base_manager.using(alias)

    def pk(model: Any, number: int) -> Any:
        known = keys[model.__name__]
        return known[number % len(known)] if known else 0

    try:
        # A statement that fails breaks a transaction of PostgreSQL.
        with routed_to(alias), transaction.atomic(using=alias):
            return plain(eval(text, {**NAMES, "q": q, "pk": pk}))
    except EXPECTED as error:
        return Failed(error)


class Failed:
    """An error; it equals others of its class."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.name = next(
            kind.__name__
            for kind in type(error).__mro__
            if not kind.__module__.startswith("shoal")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failed) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


def plain(value: Any) -> Any:
    """Return what tells a result: rows with all that was read of them."""
    if isinstance(value, models.Model):
        return _row(value)
    if isinstance(value, QuerySet | list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else repr(value)
    if isinstance(value, Decimal) and connections[TWIN].vendor == "sqlite":
        # It keeps floats: the last digit of an average is that of the order of rows.
        return Decimal(f"{value:.12g}")
    return value


def _row(row: Any) -> Any:
    """Return the row, with what has been read along with it."""
    found = _own(row)
    for name, related in sorted(row._state.fields_cache.items()):
        found[f"{name} >"] = None if related is None else _own(related)
    cache = getattr(row, "_prefetched_objects_cache", {})
    for name, prefetched in sorted(cache.items()):
        found[f"{name} >>"] = [_own(one) for one in prefetched]
    return (type(row).__name__, found)


def _own(row: Any) -> dict[str, Any]:
    names = [name for name in sorted(row.__dict__) if not name.startswith("_")]
    return {name: plain(row.__dict__[name]) for name in names}


def same(ours: Any, theirs: Any, *, is_ordered: bool = True) -> bool:
    """
    Compare what both answered.

    What the one database cannot do, the shards may do: MariaDB does not delete from a
    table that it reads.
    """
    if isinstance(theirs, Failed) and isinstance(theirs.error, OperationalError):
        return True
    if is_ordered or not (isinstance(ours, list) and isinstance(theirs, list)):
        return bool(ours == theirs)
    return sorted(map(repr, ours)) == sorted(map(repr, theirs))
