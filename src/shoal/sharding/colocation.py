"""
Takes the tables of a statement, gives whether each of its rows is made on one shard.

Pure. So it is where all sharded tables are joined on what gives the bucket: their rows
lie together. What one shard answers is a part of the whole answer, with no row twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models.expressions import Col
from django.db.models.lookups import In
from django.db.models.sql.constants import INNER
from django.db.models.sql.query import Query

from shoal.placement.layout import Layout
from shoal.sharding.occurrences import Level, Occurrence
from shoal.sharding.places import Equal, Place, place_of

EVERYWHERE = "reference"


def anchors(
    found: Sequence[Occurrence],
    layouts: Mapping[Occurrence, Layout | None],
    equals: Sequence[Equal],
    base: Level,
    vendor: str,
) -> list[Occurrence]:
    """
    Return the tables of the level `base` whose rows say where a row of the answer is.

    None at all if rows of several shards may have to meet. Every row of the answer
    has a row of each of them: they are not on the outer side of a join.
    """
    sharded = []
    for one in found:
        layout = layouts[one]
        if one.level is None or layout is None:
            return []
        if layout.kind != EVERYWHERE:
            if layout.kind != "sharded" or layout.scheme is None:
                return []
            sharded.append(one)
    pairs = [(one.place, one.other) for one in equals]
    pairs += _semi_joins(found, layouts, vendor)
    if not _are_together(sharded, pairs):
        return []
    return [one for one in sharded if one.level is base and _is_always_there(one)]


def _is_always_there(one: Occurrence) -> bool:
    return getattr(one.join, "join_type", None) in (None, INNER)


def _are_together(
    sharded: Sequence[Occurrence], pairs: Sequence[tuple[Place, Place]]
) -> bool:
    """Say whether pairs of places lead from each of them to each other one."""
    groups = {place_of(one): {place_of(one)} for one in sharded}
    for here, there in pairs:
        if here in groups and there in groups and groups[here] is not groups[there]:
            groups[here] |= groups[there]
            for place in groups[here]:
                groups[place] = groups[here]
    return len({id(group) for group in groups.values()}) <= 1


def _semi_joins(
    found: Sequence[Occurrence],
    layouts: Mapping[Occurrence, Layout | None],
    vendor: str,
) -> Iterator[tuple[Place, Place]]:
    """
    Yield the places of `column IN (SELECT column ...)` where both give the bucket.

    A value can only be among those of its own shard. With a NULL on either side it
    would be unknown whether it is not, so there must not be any.
    """
    known = {place_of(one): one for one in found if one.level is not None}
    levels = {id(one.level.query): one.level for one in found if one.level is not None}
    for level in list(levels.values()):
        for node in _lookups(level.query.where):
            inner = levels.get(id(node.rhs)) if isinstance(node, In) else None
            column = _only_column(inner.query) if inner is not None else None
            if inner is None or column is None or not isinstance(node.lhs, Col):
                continue
            here = known.get((id(level), node.lhs.alias))
            there = known.get((id(inner), column.alias))
            if here is None or there is None or node.lhs.target.null:
                continue
            is_there = _is_always_there(here) and _is_always_there(there)
            if is_there and _same(here, node.lhs, there, column, layouts, vendor):
                yield place_of(here), place_of(there)


def _lookups(node: Any) -> Iterator[Any]:
    for child in getattr(node, "children", ()):
        yield from _lookups(child)
    if hasattr(node, "rhs"):
        yield node


def _only_column(query: Any) -> Col | None:
    """Return what a subquery selects, if that is one column of each of its rows."""
    if not isinstance(query, Query) or query.is_sliced or query.combinator:
        return None
    if query.group_by is not None or query.distinct_fields or query.extra_select:
        return None
    if query.annotation_select or len(query.select) != 1:
        return None
    (column,) = query.select
    return column if isinstance(column, Col) and not column.target.null else None


def _same(
    here: Occurrence,
    mine: Col,
    there: Occurrence,
    theirs: Col,
    layouts: Mapping[Occurrence, Layout | None],
    vendor: str,
) -> bool:
    one, other = layouts[here], layouts[there]
    if one is None or other is None:
        return False
    names = str(mine.target.column), str(theirs.target.column)
    scheme = one.locators.get(names[0])
    exact = one.prunes(names[0], vendor) and other.prunes(names[1], vendor)
    return exact and scheme == other.locators.get(names[1])


def gives_bucket(
    expression: Any,
    anchors: Sequence[Occurrence],
    layouts: Mapping[Occurrence, Layout | None],
    vendor: str,
) -> bool:
    """Say whether equal values of an expression are always on one shard."""
    if not isinstance(expression, Col):
        return False
    name = str(expression.target.column)
    return any(
        layout.prunes(name, vendor)
        for one in anchors
        if one.alias == expression.alias and (layout := layouts[one]) is not None
    )


def is_one_row(query: Any) -> bool:
    """Say whether a query makes one row of all, without groups."""
    made = query.annotation_select.values()
    return query.group_by is None and any(one.contains_aggregate for one in made)


def is_apart(base: Level, where: Any, found: Sequence[Occurrence]) -> bool:
    """Say whether each row that a level makes is made by one shard, of its own rows."""
    query = base.query
    if query.combinator or query.where.contains_over_clause:
        return False
    if query.where.contains_aggregate and query.group_by is None:
        return False

    def is_kept_together(expressions: Any) -> bool:
        return any(where.gives_bucket(one, found) for one in expressions)

    if query.group_by is not None and not is_kept_together(base.groups or ()):
        return False
    if (
        query.distinct
        and not query.distinct_fields
        and not is_kept_together(base.selected)
    ):
        return False
    return all(
        window.partition_by is not None
        and is_kept_together(window.partition_by.get_source_expressions())
        for window in base.windows
    )
