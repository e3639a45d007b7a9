"""
Takes the tables that a statement names, gives where the rows of each may lie. Pure.

A column that tells the bucket, set equal to values, says so at once. Set equal to such
a column of another table, it says that both rows lie together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, TypeAlias

from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql.constants import INNER
from django.db.models.sql.where import AND, OR, WhereNode

from shoal.errors import ShoalError
from shoal.placement.layout import Layout
from shoal.sharding.conditions import conjuncts
from shoal.sharding.occurrences import Level, Occurrence
from shoal.types import Bucket

Buckets: TypeAlias = frozenset[Bucket] | None
"""The buckets that rows may be in; `None`: nobody knows."""
MOST_KEYS = 1000
"""How many keys of several columns are looked at, where each column has several."""
Place: TypeAlias = tuple[int, str]
"""A level by its id, and an alias on it."""


@dataclass(frozen=True, slots=True)
class Equal:
    """Rows of `place` are needed only in the buckets of those of `other`."""

    place: Place
    column: str
    other: Place
    other_column: str


class Places:
    """What the conditions and joins of one statement say of its rows."""

    def __init__(
        self,
        found: Sequence[Occurrence],
        layouts: Mapping[Occurrence, Layout | None],
        vendor: str,
    ) -> None:
        self._vendor = vendor
        self._found = {place_of(one): one for one in found if one.level is not None}
        self._layouts = {place: layouts[one] for place, one in self._found.items()}
        self._all = found
        self._levels = list(
            {id(one.level): one.level for one in found if one.level}.values()
        )
        self._located: list[tuple[Place, str]] = []
        """The columns whose values have given a bucket."""
        self.pinning: list[tuple[Level, Any]] = []
        """The conditions that have, each with the level where it stands."""
        self._pinned_places: set[Place] = set()
        self.equals = [e for level in self._levels for e in self._equals(level)]
        """The columns that are set equal and that give the bucket."""
        self.buckets = self._solve()
        """Where each table has rows that the statement needs."""

    def _solve(self) -> dict[Occurrence, Buckets]:
        known: dict[Place, Buckets] = dict.fromkeys(self._found)
        for level in self._levels:
            for place, buckets in self._pinned(level, level.query.where).items():
                self._pinned_places.add(place)
                # Of an outer query all rows are needed, whatever a subquery says.
                if place[0] == id(level):
                    known[place] = _both(known.get(place), buckets)
        changed = True
        while changed:
            changed = False
            for equal in self.equals:
                buckets = _both(known[equal.place], known.get(equal.other))
                if buckets != known[equal.place]:
                    known[equal.place], changed = buckets, True
        return {
            one: known[place_of(one)] if one.level is not None else None
            for one in self._all
        }

    def pins(self) -> dict[Occurrence, list[str]]:
        """Return the columns of each table whose values the conditions name."""
        located = dict.fromkeys(self._located)
        found = [one for one in located if one[0] in self._pinned_places]
        return {
            one: [name for place, name in found if place == place_of(one)]
            for one in self._all
            if one.level is not None
        }

    def _pinned(self, level: Level, node: Any) -> dict[Place, Buckets]:
        """Return what a condition says of the buckets of each alias."""
        if not isinstance(node, WhereNode):
            return self._pinned_by(level, node)
        if node.negated:
            return {}
        parts = [self._pinned(level, child) for child in node.children]
        if not parts:
            return {}
        if node.connector == AND:
            found: dict[Place, Buckets] = {}
            for part in (*parts, self._pinned_together(level, node)):
                for place, buckets in part.items():
                    found[place] = _both(found.get(place), buckets)
            return found
        if node.connector == OR:
            shared = set(parts[0]).intersection(*parts[1:])
            return {
                place: frozenset().union(*(part[place] or () for part in parts))
                for place in shared
            }
        return {}

    def _pinned_together(self, level: Level, node: Any) -> dict[Place, Buckets]:
        """Return what conditions say together, one on each column of a key."""
        given: dict[Place, dict[str, tuple[Col, list[Any]]]] = {}
        for one in conjuncts(node):
            columns = _columns(one.lhs) if isinstance(one, Exact | In) else []
            place = self._home_of(level, columns[0].alias) if columns else None
            layout = self._layouts.get(place) if place else None
            if place is None or layout is None or len(layout.key) < 2:
                continue
            values = values_of(one) if len(columns) == 1 else None
            if values:
                name = str(columns[0].target.column)
                given.setdefault(place, {})[name] = columns[0], values
        found = {
            place: self._of_whole_key(level, self._layouts[place], parts)
            for place, parts in given.items()
        }
        together: dict[Place, Buckets] = {
            place: buckets for place, buckets in found.items() if buckets is not None
        }
        self.pinning += [(level, node)] * (2 * len(together))
        return together

    def _of_whole_key(
        self, level: Level, layout: Any, given: Mapping[str, tuple[Col, list[Any]]]
    ) -> Buckets:
        if not given.keys() >= {*layout.key}:
            return None
        columns, values = zip(*(given[name] for name in layout.key), strict=True)
        keys = list(islice(product(*values), MOST_KEYS + 1))
        found = [self._locate(level, [*columns], key) for key in keys]
        if None in found or len(keys) > MOST_KEYS:
            return None
        return frozenset(one[1] for one in found if one is not None)

    def _pinned_by(self, level: Level, node: Any) -> dict[Place, Buckets]:
        if not isinstance(node, Exact | In):
            return {}
        values = values_of(node)
        if values is None:
            return {}
        columns = _columns(node.lhs)
        found = [self._locate(level, columns, value) for value in values]
        if not values:
            return self._nowhere(level, columns)
        if None in found or not found:
            return {}
        located = [one for one in found if one is not None]
        self.pinning.append((level, node))
        return {located[0][0]: frozenset(bucket for _, bucket in located)}

    def _nowhere(self, level: Level, columns: list[Col]) -> dict[Place, Buckets]:
        """Return no bucket at all for a key that equals none of no values."""
        place = self._home_of(level, columns[0].alias) if len(columns) == 1 else None
        layout = self._layouts.get(place) if place else None
        if place is None or layout is None:
            return {}
        name = str(columns[0].target.column)
        return {place: frozenset()} if layout.prunes(name, self._vendor) else {}

    def _locate(
        self, level: Level, columns: list[Col], value: Any
    ) -> tuple[Place, Bucket] | None:
        """Return the place, and the bucket that a row with this value is in."""
        if not columns:
            return None
        place = self._home_of(level, columns[0].alias)
        layout = self._layouts.get(place) if place else None
        if place is None or layout is None:
            return None
        try:
            bucket = self._bucket(layout, columns, value)
        except ShoalError:
            return None
        if bucket is None:
            return None
        self._located += [(place, str(column.target.column)) for column in columns]
        return place, bucket

    def _bucket(self, layout: Layout, columns: list[Col], value: Any) -> Bucket | None:
        names = [str(column.target.column) for column in columns]
        if len(names) == 1:
            scheme = layout.locators.get(names[0])
            if scheme is None or not layout.prunes(names[0], self._vendor):
                return None
            return scheme.bucket(value)
        scheme = layout.scheme
        if tuple(names) != layout.key or scheme is None:
            return None
        return scheme.bucket(value) if scheme.is_exact(self._vendor) else None

    def _home_of(self, level: Level | None, alias: str) -> Place | None:
        """Return the place of an alias that a level, or one around it, has."""
        while level is not None:
            place = (id(level), alias)
            if place in self._found:
                return place
            level = level.outer
        return None

    def _equals(self, level: Level) -> Iterator[Equal]:
        for alias, join in level.aliases.items():
            parent = getattr(join, "parent_alias", None)
            if parent is None:
                continue
            for mine, theirs in join_columns(join):
                here, there = (id(level), alias), (id(level), parent)
                yield from self._equal(here, theirs, there, mine)
                if join.join_type == INNER:
                    yield from self._equal(there, mine, here, theirs)
        for node in conjuncts(level.query.where):
            if isinstance(node, Exact):
                yield from self._equal_columns(level, node.lhs, node.rhs)

    def _equal_columns(self, level: Level, one: Any, other: Any) -> Iterator[Equal]:
        if not (isinstance(one, Col) and isinstance(other, Col)):
            return
        ends = [
            (self._home_of(level, column.alias), str(column.target.column))
            for column in (one, other)
        ]
        for (here, mine), (there, theirs) in (ends, ends[::-1]):
            if here is None or there is None:
                continue
            # Of an outer query all rows are needed, whatever a subquery says.
            if here[0] == id(level):
                yield from self._equal(here, mine, there, theirs)

    def _equal(
        self, here: Place, mine: str, there: Place, theirs: str
    ) -> Iterator[Equal]:
        layouts = self._layouts.get(here), self._layouts.get(there)
        if layouts[0] is None or layouts[1] is None:
            return
        schemes = layouts[0].locators.get(mine), layouts[1].locators.get(theirs)
        prune = layouts[0].prunes(mine, self._vendor)
        prune = prune and layouts[1].prunes(theirs, self._vendor)
        if prune and schemes[0] == schemes[1]:
            yield Equal(here, mine, there, theirs)


def place_of(one: Occurrence) -> Place:
    """Return by what an occurrence is known."""
    return (id(one.level), one.alias)


def _both(one: Buckets, other: Buckets) -> Buckets:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _columns(lhs: Any) -> list[Col]:
    """Return the columns that a lookup compares: several for a composite key."""
    if isinstance(lhs, Col):
        return [lhs]
    get_cols = getattr(lhs, "get_cols", None)
    return list(get_cols()) if get_cols else []


def values_of(node: Any) -> list[Any] | None:
    """Return the values that a lookup compares with; `None` if it is no plain value."""
    sides = node.rhs if isinstance(node, In) else [node.rhs]
    if isinstance(node, In) and not isinstance(sides, list | tuple | set | frozenset):
        if hasattr(sides, "resolve_expression") or hasattr(sides, "query"):
            return None
        sides = list(sides)
    found = []
    for value in sides:
        parts = value if isinstance(value, list | tuple) else (value,)
        for part in parts:
            if hasattr(part, "resolve_expression"):
                return None
        if value is not None:
            # Nothing equals NULL.
            found.append(value)
    return found


def join_columns(join: Any) -> list[tuple[str, str]]:
    """Return the pairs of columns that a join sets equal: the parent's, and its own."""
    columns = getattr(join, "join_cols", None)
    if columns is not None:
        return list(columns)
    return [(a.column, b.column) for a, b in join.join_fields]
