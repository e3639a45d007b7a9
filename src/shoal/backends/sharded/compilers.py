"""
Takes a query of Django, gives the compiler that runs it on a sharded alias.

The SQL is compiled by the vendor's own compiler. What is Shoal's is who executes it.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models.sql import compiler as django

from shoal.sharding.explaining import Explaining
from shoal.sharding.occurrences import Levels
from shoal.sharding.ordering import OrderKeys
from shoal.sharding.reading import Reading
from shoal.sharding.writing.deleting import Deleting
from shoal.sharding.writing.inserting import Inserting
from shoal.sharding.writing.updating import Updating


class Noting:
    """Tells the statement at work which queries it is compiled from."""

    connection: Any
    query: Any
    order_keys: OrderKeys | None = None
    """Takes what rows are merged by, where this is a shard's part of an answer."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        over_parts = self._over_parts()
        if over_parts is not None:
            return over_parts
        levels = noted_by(self.connection)
        if levels is None:
            return super().as_sql(*args, **kwargs)  # type: ignore[misc]
        levels.enter(self.query)
        try:
            return super().as_sql(*args, **kwargs)  # type: ignore[misc]
        finally:
            levels.leave()

    def _over_parts(self) -> Any:
        """Return the SQL over what shards have made of this query, if they have."""
        statements = self.connection.statements
        instead = getattr(statements[-1], "instead", None) if statements else None
        return None if instead is None else instead(self)

    def compile(self, node: Any) -> Any:
        levels = noted_by(self.connection)
        if levels is not None:
            levels.saw(node)
        return super().compile(node)  # type: ignore[misc]

    def collapse_group_by(self, expressions: Any, having: Any) -> Any:
        found = super().collapse_group_by(expressions, having)  # type: ignore[misc]
        levels = noted_by(self.connection)
        if levels is not None:
            levels.grouped(found)
        return found

    def get_extra_select(self, order_by: Any, select: Any) -> Any:
        extra = super().get_extra_select(order_by, select)  # type: ignore[misc]
        levels = noted_by(self.connection)
        if levels is not None:
            levels.selected([one for one, _, _ in select])
        if self.order_keys is not None:
            extra += self.order_keys.add(self, order_by, [*select, *extra])
        return extra

    def get_from_clause(self) -> Any:
        found = super().get_from_clause()  # type: ignore[misc]
        levels = noted_by(self.connection)
        if levels is not None:
            levels.joined()
        return found


def noted_by(connection: Any) -> Levels | None:
    """Return what collects the queries of the statement at work, if one is."""
    statements = connection.statements
    return getattr(statements[-1], "levels", None) if statements else None


class Select:
    """Also of aggregates over a subquery. Notes nothing, which costs nothing."""

    connection: Any
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        kind = Explaining if self.query.explain_info else Reading
        with self.connection.answering(kind(self)):
            return super().execute_sql(*args, **kwargs)  # type: ignore[misc]


class NotingSelect(Noting, Select):
    """The same, compiled for somebody who has to know of what it is made."""


class Insert(Noting):
    apart: Any = None
    """Compiles it for each shard, where several get rows of it."""

    @functools.cached_property
    def saved(self) -> defaultdict[str, dict[int, Any]]:
        """What is inserted as far as it is known, by field and `id()` of the object."""
        return defaultdict(dict)

    def pre_save_val(self, field: Any, obj: Any) -> Any:
        """Return the value to insert: asked for once, however often it is needed."""
        saved = self.saved[field.attname]
        value = saved.get(id(obj), saved)
        if value is saved:
            value = saved[id(obj)] = super().pre_save_val(field, obj)  # type: ignore[misc]
        return value

    def values_of(self, field: Any, objs: Sequence[Any]) -> list[Any]:
        """Return what is inserted into a field for each of these objects."""
        saved = self.saved[field.attname]
        if saved:
            return [self.pre_save_val(field, obj) for obj in objs]
        save = super().pre_save_val  # type: ignore[misc]
        values = [save(field, obj) for obj in objs]
        saved.update(zip(map(id, objs), values, strict=True))
        return values

    def set_values(
        self, field: Any, objs: Sequence[Any], values: Sequence[Any]
    ) -> None:
        """Let other values be inserted than the objects have."""
        self.saved[field.attname].update(zip(map(id, objs), values, strict=True))

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        if self.apart is None:
            return super().as_sql(*args, **kwargs)
        return self.apart.statements(self, super().as_sql)

    def assemble_as_sql(self, fields: Any, value_rows: Any) -> Any:
        rows = value_rows if self.apart is None else self.apart.rows or value_rows
        return super().assemble_as_sql(fields, rows)  # type: ignore[misc]

    def execute_sql(self, returning_fields: Any = None) -> Any:
        return Inserting(self, super().execute_sql).run(returning_fields)  # type: ignore[misc]


class Update(Noting):
    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return Updating(self, self.count_rows).run(*args, **kwargs)

    def count_rows(self, *args: Any, **kwargs: Any) -> Any:
        return super().execute_sql(*args, **kwargs)  # type: ignore[misc]

    def execute_returning_sql(self, returning_fields: Any) -> Any:
        execute = super().execute_returning_sql  # type: ignore[misc]
        return Updating(self, execute).run_returning(returning_fields)


class Delete(Noting):
    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return Deleting(self, super().execute_sql).run(*args, **kwargs)  # type: ignore[misc]


_KINDS: tuple[tuple[type, type], ...] = (
    (django.SQLInsertCompiler, Insert),
    (django.SQLUpdateCompiler, Update),
    (django.SQLDeleteCompiler, Delete),
    (django.SQLCompiler, Select),
)


@functools.cache
def compiler_over(vendor: type, *, is_noting: bool) -> type:
    """Return the sharded compiler over one of the vendor's."""
    for kind, ours in _KINDS:
        if issubclass(vendor, kind):
            ours = NotingSelect if is_noting and ours is Select else ours
            return type(vendor.__name__, (ours, vendor), {"__module__": __name__})
    raise AssertionError(vendor)
