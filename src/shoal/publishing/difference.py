"""Takes the rows of two editions, gives what has to be written. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from shoal.publishing.tables import Key, Row, Table

COMPARABLE = frozenset(
    {bool, bytes, date, datetime, float, int, str, time, timedelta, type(None), UUID}
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    table: Table
    new: tuple[Row, ...]
    changed: tuple[Row, ...]
    before: Mapping[Key, Row]
    """What the target has now of the changed rows."""
    unchanged: int


def difference(
    table: Table, wanted: Iterable[Row], there: Mapping[Key, Row]
) -> Difference:
    """Sort the rows that the target should have by what it has of them."""
    new, changed, unchanged = [], [], 0
    for row in wanted:
        old = there.get(table.key_of(row))
        if old is None:
            new.append(row)
        elif all(map(certainly_the_same, row, old)):
            unchanged += 1
        else:
            changed.append(row)
    return Difference(
        table=table,
        new=tuple(new),
        changed=tuple(changed),
        before={(key := table.key_of(row)): there[key] for row in changed},
        unchanged=unchanged,
    )


def certainly_the_same(one: Any, other: Any) -> bool:
    """
    Compare two values of a field; in doubt they differ, and the row is written.

    Python calls `1`, `1.0` and `True` the same, and a field of one's own may give
    objects that are equal too easily.
    """
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in COMPARABLE:
        return bool(one == other)
    if kind is Decimal:
        return bool(one.as_tuple() == other.as_tuple())
    if kind is memoryview:
        return bool(one.tobytes() == other.tobytes())
    if kind in (list, tuple):
        return len(one) == len(other) and all(map(certainly_the_same, one, other))
    return False
