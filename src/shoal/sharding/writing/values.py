"""
Takes objects to insert, gives the values of their rows.

What the database would compute, a server is asked for before, where it must be known:
since it says where the row lies, or since every shard is to get the same.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import ExpressionWrapper
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import Query
from django.db.models.sql.constants import MULTI

from shoal.placement.layout import Layout


class Values:
    """What the objects of one insert have for its fields."""

    def __init__(self, compiler: Any) -> None:
        self._compiler, self._query = compiler, compiler.query
        self._connection = compiler.connection
        self._meta: Any = compiler.query.get_meta()

    def of(self, obj: Any, columns: Sequence[str]) -> dict[str, Any]:
        """Return the values of these columns, by column."""
        fields = {field.column: field for field in self._meta.concrete_fields}
        return {name: self.one(fields[name], obj) for name in columns if name in fields}

    def one(self, field: Any, obj: Any) -> Any:
        """Return what the object has for a field, perhaps an expression."""
        if field not in self._query.fields:
            return getattr(obj, field.attname)
        value = self._compiler.pre_save_val(field, obj)
        if not hasattr(value, "resolve_expression"):
            # Django's own error for what is no value of the field comes first.
            field.get_prep_value(value)
        return value

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
            for obj in objs:
                value = self._compiler.pre_save_val(field, obj)
                if hasattr(value, "resolve_expression"):
                    self._compiler.saved[id(obj), field] = self._asked(value, field)
