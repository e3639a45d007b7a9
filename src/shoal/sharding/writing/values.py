"""
Takes objects to insert, gives the values of their rows.

What the database would compute, a server is asked for before, where it must be known:
since it says where the row lies, or since every shard is to get the same.
"""

import functools
from collections.abc import Sequence
from typing import Any

from django.db.models import ExpressionWrapper
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import Query
from django.db.models.sql.constants import MULTI

from shoal.placement.layout import Layout
from shoal.sharding.occurrences import Levels, Noted, occurrences


class Values:
    """What the objects of one insert have for its fields."""

    def __init__(self, compiler: Any) -> None:
        self._compiler, self._query = compiler, compiler.query
        self._connection = compiler.connection
        self._meta: Any = compiler.query.get_meta()

    @functools.cached_property
    def _fields(self) -> dict[str, Any]:
        """The model's fields by their columns."""
        return {field.column: field for field in self._meta.concrete_fields}

    def of(self, objs: Sequence[Any], column: str) -> list[Any]:
        """Return what each of the objects has for a column, perhaps an expression."""
        field = self._fields[column]
        if field in self._query.fields:
            return self._compiler.values_of(field, objs)  # type: ignore[no-any-return]
        return [getattr(obj, field.attname) for obj in objs]

    def require_possible(self, column: str, value: Any) -> None:
        """Raise Django's own error for what is no value of the field."""
        if not hasattr(value, "resolve_expression"):
            self._fields[column].get_prep_value(value)

    def ask_for_defaults(self, layout: Layout) -> None:
        """Let a shard compute what the database would, where it must be known."""
        columns = {*layout.key, *layout.locators, *layout.primary_key}
        if layout.kind == "reference":
            # Every shard gets the same value.
            columns |= {field.column for field in self._meta.concrete_fields}
        for field in self._query.fields:
            if field.column in columns and field.has_db_default():
                for obj in self._query.objs:
                    if isinstance(getattr(obj, field.attname), DatabaseDefault):
                        setattr(obj, field.attname, self._computed(field))

    def _computed(self, field: Any) -> Any:
        default = field.db_default
        if not hasattr(default, "resolve_expression"):
            return default
        return self._asked(default, field)

    def _asked(self, expression: Any, field: Any) -> Any:
        query: Any = Query(None)
        value = ExpressionWrapper(expression, output_field=field)
        query.add_annotation(value, "value")
        compiler = query.get_compiler(self._connection.alias)
        (row,) = compiler.results_iter(compiler.execute_sql(MULTI))
        return row[0]

    def compute(self, objs: Sequence[Any]) -> None:
        """Ask for what is to be inserted, where an expression says it."""
        for field in self._query.fields:
            values = self._compiler.values_of(field, objs)
            found = [
                self._asked(value, field)
                if hasattr(value, "resolve_expression")
                else value
                for value in values
            ]
            self._compiler.set_values(field, objs, found)

    def are_plain(self) -> bool:
        """Say whether nothing that is to be inserted is an expression."""
        fields, objs = self._query.fields, self._query.objs
        columns = (self._compiler.values_of(field, objs) for field in fields)
        kinds = {kind for values in columns for kind in set(map(type, values))}
        return not any(hasattr(kind, "resolve_expression") for kind in kinds)

    def prepared(self, objs: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of these objects, all plain, as a driver takes them."""
        columns = []
        for field in self._query.fields:
            values = self._compiler.values_of(field, objs)
            prepare = functools.partial(
                field.get_db_prep_save, connection=self._connection
            )
            columns.append([*map(prepare, values)])
        return list(zip(*columns, strict=True))

    def look_at_rows(self) -> bool:
        """Say whether rows that are there decide what is to be inserted."""
        noted = Noted(Levels())
        with self._connection.answering(noted):
            self._compiler.as_sql()
        return bool(occurrences(noted.levels, ""))
