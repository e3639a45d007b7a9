"""
Takes tables to gather, gives an order to fetch them in, and what joins leave of each.

A row without a partner on the other side of a join cannot matter. So once one side is
there, of the other side only the rows with its values are fetched (a semi-join).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.lookups import Exact, In
from django.db.models.sql.constants import INNER

from shoal.sharding.conditions import of_alias
from shoal.sharding.occurrences import Occurrence
from shoal.sharding.places import join_columns

MOST_VALUES = 2000
"""Values that a fetch names. With more, fetching without them is as good."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Rows of an occurrence matter only with a value that the other side has."""

    column: str
    table: str
    """The other side."""
    other_column: str


def edges(one: Occurrence) -> list[Edge]:
    """Return the joins that leave out rows of this occurrence."""
    if one.level is None:
        return []
    aliases = one.level.aliases
    found = []
    parent = aliases.get(str(getattr(one.join, "parent_alias", None)))
    if parent is not None:
        # Whatever kind of join: what has no parent is not there.
        for theirs, mine in join_columns(one.join):
            found.append(Edge(mine, parent.table_name, theirs))
    for join in aliases.values():
        inner = getattr(join, "join_type", None) == INNER
        if inner and join.parent_alias == one.alias:
            for mine, theirs in join_columns(join):
                found.append(Edge(mine, join.table_name, theirs))
    return found


def own_conditions(one: Occurrence) -> list[Any]:
    """Return the conditions that the query puts on these rows alone."""
    if one.level is None or one.level.query.combinator:
        return []
    return of_alias(one.level.query.where, one.alias, one.join)


def next_table(tables: Sequence[Any], there: Sequence[str]) -> Any:
    """Return the table of which the fewest rows are likely to matter. Pure."""
    return min(tables, key=lambda table: _rank(table, there))


def _rank(table: Any, there: Sequence[str]) -> int:
    return max(_rank_of(one, there) for one in table.occurrences)


def _rank_of(one: Occurrence, there: Sequence[str]) -> int:
    conditions = own_conditions(one)
    if any(_names_one_row(condition) for condition in conditions):
        return 0
    if any(edge.table in there for edge in edges(one)):
        return 1
    if any(isinstance(condition, Exact | In) for condition in conditions):
        return 2
    return 3 if conditions else 4


def _names_one_row(condition: Any) -> bool:
    target = getattr(getattr(condition, "lhs", None), "target", None)
    return isinstance(condition, Exact | In) and bool(getattr(target, "unique", False))
