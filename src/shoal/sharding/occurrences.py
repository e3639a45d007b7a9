"""
Takes the queries that a statement was compiled from, gives the tables that it names.

A query is a level; a subquery is a level below the one that it stands in. A table that
is joined twice, or stands on two levels, occurs twice.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model
from django.db.models.expressions import RawSQL, Window
from django.db.models.functions import Random
from django.db.models.sql.subqueries import DeleteQuery, UpdateQuery
from django.db.models.sql.where import ExtraWhere

from shoal.placement import models_of_table
from shoal.placement.models import bare_table_name
from shoal.sharding.conditions import is_fickle_kind, is_rewritten

_NAME = re.compile(r"\b\w+\b(?![\"`]?\s*\.)")
"""What may be a table, and is not there to say whose column is meant."""


@dataclass(eq=False, slots=True)
class Level:
    """One query among those that a statement was compiled from."""

    query: Any
    outer: "Level | None"
    aliases: dict[str, Any] = field(default_factory=dict)
    """The tables and joins that its SQL names, by alias."""
    windows: list[Any] = field(default_factory=list)
    """Its expressions over windows."""
    groups: list[Any] | None = None
    """What it groups by, `None` if it does not."""
    selected: list[Any] = field(default_factory=list)


class Levels:
    """Collects levels, as the compilers of a statement and its subqueries work."""

    def __init__(self) -> None:
        self.all: list[Level] = []
        self.by_hand: list[str] = []
        """SQL that the project has written, as it stands in the statement."""
        self.sql = ""
        """What they were compiled to, if they were compiled to be known."""
        self.drawn = 0
        """How many expressions are plain chance."""
        self._is_fickle = False
        self._open: list[Level] = []

    @property
    def is_fickle(self) -> bool:
        """Whether two servers may give an expression two values for one row."""
        return self._is_fickle or self.drawn > 0

    def only_shuffles(self, query: Any) -> bool:
        """Say whether chance decides on nothing but the order of plain rows."""
        is_plain = query.group_by is None and not (query.distinct or query.combinator)
        marks = [o for o in query.order_by if o == "?" or isinstance(o, Random)]
        return is_plain and not self._is_fickle and self.drawn == len(marks)

    def enter(self, query: Any) -> None:
        level = Level(query, self._open[-1] if self._open else None)
        if isinstance(query, UpdateQuery | DeleteQuery):
            # What it is filtered by stands in subqueries.
            base = query.get_initial_alias()
            level.aliases[base] = query.alias_map[base]
        self.all.append(level)
        self._open.append(level)

    def joined(self) -> None:
        """Note what the query joins now: after it is compiled, that is forgotten."""
        query, level = self._open[-1].query, self._open[-1]
        for alias, join in query.alias_map.items():
            if query.alias_refcount.get(alias):
                level.aliases[alias] = join

    def saw(self, node: Any) -> None:
        """Note what decides whether shards can work apart."""
        kind = _kind(node.__class__)
        if kind == "by hand":
            self.by_hand += [node.sql] if hasattr(node, "sql") else node.sqls
        elif kind == "window":
            self._open[-1].windows.append(node)
        elif kind == "fickle":
            self.drawn += node.__class__ is Random
            self._is_fickle |= node.__class__ is not Random
        self._is_fickle |= is_rewritten(node)

    def grouped(self, expressions: list[Any]) -> None:
        if self._open:
            self._open[-1].groups = expressions

    def selected(self, expressions: list[Any]) -> None:
        if self._open:
            self._open[-1].selected = expressions

    def leave(self) -> None:
        self._open.pop()


@dataclass(frozen=True, slots=True)
class Noted:
    """A statement that is compiled to be known, and not to be run."""

    levels: Levels


def note(compiler: Any) -> Levels:
    """Compile the query of a compiler again, and return the levels of it."""
    noted, query = Noted(Levels()), unspoilt(compiler.query)
    with compiler.connection.answering(noted):
        again = query.get_compiler(
            using=compiler.connection.alias, elide_empty=compiler.elide_empty
        )
        noted.levels.sql = again.as_sql()[0]
    return noted.levels


def unspoilt(query: Any) -> Any:
    """
    Return what can be compiled and leaves the query as it is.

    Django adds what a union is ordered by to its parts, each time.
    """
    if not query.combinator:
        return query
    query = query.clone()
    if query.selected is not None:
        query.selected = dict(query.selected)
    return query


@functools.cache
def _kind(node: type) -> str:
    if issubclass(node, RawSQL | ExtraWhere):
        return "by hand"
    if issubclass(node, Window):
        return "window"
    return "fickle" if is_fickle_kind(node) else ""


@dataclass(eq=False, frozen=True, slots=True)
class Occurrence:
    """One place where a statement names a table."""

    level: Level | None
    """`None` where only the text of the statement names the table."""
    alias: str
    table: str
    model: type[Model] | None
    join: Any = None


def occurrences(levels: Levels, sql: str) -> list[Occurrence]:
    """Return every place where a statement names a table."""
    found = [one for level in levels.all for one in _of_level(level)]
    seen = {bare_table_name(one.table) for one in found}
    by_hand = _of_text(" ".join(levels.by_hand), set())
    return [*found, *by_hand, *_of_text(sql, seen)]


def _of_level(level: Level) -> Iterator[Occurrence]:
    for alias, join in level.aliases.items():
        table = join.table_name
        model = _model(table, _candidates(level.query, join))
        yield Occurrence(level, alias, table, model, join)
    for table in level.query.extra_tables:
        yield Occurrence(None, table, table, _model(table, ()))


def _candidates(query: Any, join: Any) -> Iterator[Any]:
    field = getattr(join, "join_field", None)
    if field is not None:
        yield getattr(field, "related_model", None)
        yield getattr(field, "model", None)
        remote = getattr(field, "remote_field", None)
        yield getattr(remote, "model", None)
        yield getattr(remote, "through", None)
        yield getattr(getattr(field, "field", None), "model", None)
    if query.model is not None:
        yield query.model
        yield from query.model._meta.get_parent_list()


def _model(table: str, candidates: Any) -> type[Model] | None:
    for model in candidates:
        if isinstance(model, type) and _concrete(model)._meta.db_table == table:
            found: type[Model] = _concrete(model)
            return found
    known = models_of_table().get(bare_table_name(table), ())
    return _concrete(known[0]) if known else None


def _concrete(model: Any) -> Any:
    return model._meta.concrete_model or model


def _of_text(sql: str, seen: set[str]) -> Iterator[Occurrence]:
    """Find tables of known models in a text."""
    known = models_of_table()
    for name in dict.fromkeys(_NAME.findall(sql)):
        if name in known and name not in seen:
            yield Occurrence(None, name, name, _concrete(known[name][0]))
