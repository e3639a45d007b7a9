"""Takes a question, gives what an alias answers to it: values with their types."""

import datetime
import math
import zoneinfo
from decimal import Decimal
from typing import Any, NamedTuple

from django.contrib.postgres import aggregates
from django.db import connections, models, transaction
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from tests.sharded.answers import EXPECTED, NAMES, Failed
from tests.sharded.shop import TWIN, routed_to
from tests.typed.questions import Question

OWN = {
    **{name: one for name, one in vars(aggregates).items() if name[0].isupper()},
    **NAMES,
    "KT": KT,
    "berlin": zoneinfo.ZoneInfo("Europe/Berlin"),
    "hour": datetime.timedelta(hours=1),
}
"""Django's own `StringAgg` goes before that of `django.contrib.postgres`."""
ERRORS = (*EXPECTED, AttributeError)
"""MariaDB gives a text for `Coalesce` of times, which Django takes for a time."""
COLLATIONS = {"sqlite": "NOCASE", "mysql": "utf8mb4_bin", "postgresql": "C"}


def answer(question: Question, alias: str, field: Any, given: Any) -> Any:
    """Return what the question gives there: an error counts as an answer."""
    model, vendor = field.model, connections[TWIN].vendor
    rows = model._base_manager.using(alias)
    names = {
        **OWN,
        "rows": rows,
        "parts": rows.values("part").order_by("part"),
        "v": given[0],
        "w": given[1],
        "field": field,
        "collation": COLLATIONS[vendor],
        "as_text": Cast(field.name, models.TextField()),
    }
    if "listed" in question.text:
        from django.contrib.postgres.fields import ArrayField

        names["listed"] = ArrayField(field.clone())
    text = question.text.replace("COL", field.name)
    # SQLite keeps decimals as floats.
    is_rounded = question.is_rounded or (question.adds and vendor == "sqlite")
    try:
        # A statement that fails breaks a transaction of PostgreSQL.
        with routed_to(alias), transaction.atomic(using=alias):
            return told(eval(text, names), is_rounded=is_rounded)
    except ERRORS as error:
        return Failed(error)


class Told(NamedTuple):
    """One value: its type and how Python writes it."""

    type: str
    text: str


def told(value: Any, *, is_rounded: bool = False) -> Any:
    """Return what tells a value from others that Python calls equal."""
    if isinstance(value, models.Model):
        return {f.name: told(getattr(value, f.attname)) for f in _fields(value)}
    if isinstance(value, dict):
        return {key: told(one, is_rounded=is_rounded) for key, one in value.items()}
    if isinstance(value, QuerySet | list | tuple) or hasattr(value, "__next__"):
        listed = [told(one, is_rounded=is_rounded) for one in value]
        return tuple(listed) if isinstance(value, tuple) else listed
    kind = type(value).__name__
    if is_rounded and isinstance(value, float | Decimal) and math.isfinite(value):
        # A variance of equal values may be a tiny number.
        value = float(f"{round(float(value), 6):.9g}") + 0.0
    shown = bytes(value) if isinstance(value, memoryview) else value
    return Told(kind, repr(shown))


def _fields(row: Any) -> Any:
    return row._meta.concrete_fields


def same(ours: Any, theirs: Any, question: Question, alike: dict[Any, Any]) -> bool:
    """
    Compare what both answered; of values that are equal to the server any is right.

    `alike` gives one of them for each.
    """
    if isinstance(ours, Failed) or isinstance(theirs, Failed):
        return bool(ours == theirs)
    ours, theirs = (_folded(one, alike) for one in (ours, theirs))
    if question.is_ordered or not isinstance(theirs, list):
        return bool(ours == theirs)
    return sorted(map(repr, ours)) == sorted(map(repr, theirs))


def _folded(told: Any, alike: dict[Any, Any]) -> Any:
    if isinstance(told, dict):
        return {key: _folded(one, alike) for key, one in told.items()}
    if isinstance(told, list):
        return [_folded(one, alike) for one in told]
    if isinstance(told, Told):
        return alike.get(told, told)
    return tuple(_folded(one, alike) for one in told)


def alike(column: Any, rows: Any) -> dict[Any, Any]:
    """Return the value that stands for all that the twin calls equal to it."""
    found: dict[Any, Any] = {}
    for value in rows.order_by("pk").values_list(column.name, flat=True):
        if column.kind in ("text", "float") and value is not None:
            equal = rows.filter(**{column.name: value}).order_by("pk")
            first = equal.values_list(column.name, flat=True).first()
            found[told(value)] = told(first)
    return found
