"""
Takes rows that are about to be deleted, and does what the database would do to those
that point to them, where they may be on another shard.

Since Django 6.1 `on_delete` may leave that to the database. A shard sees its own rows.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models.sql.constants import MULTI

from shoal.placement.enforcing import enforces
from shoal.sharding.writing.statement import AT_ONCE, Writing


def beyond_a_shard(meta: Any, cluster: Any) -> list[Any]:
    """Return the foreign keys to these rows that the database should follow."""
    relations = (f for f in meta.get_fields(include_hidden=True) if f.auto_created)
    fields = [relation.field for relation in relations if not relation.concrete]
    return [
        field
        for field in fields
        if hasattr(getattr(field.remote_field, "on_delete", None), "on_delete_sql")
        and not enforces(field, cluster)
    ]


def follow(deletion: Writing, fields: Sequence[Any]) -> None:
    """Delete or change the rows that point to those of the deletion."""
    query: Any = deletion.select_primary_keys()
    query.clear_select_clause()
    query.add_fields([field.target_field.attname for field in fields])
    compiler = query.get_compiler(deletion.connection.alias)
    rows = list(compiler.results_iter(compiler.execute_sql(MULTI)))
    for index, field in enumerate(fields):
        values = list(dict.fromkeys(row[index] for row in rows))
        for start in range(0, len(values), AT_ONCE):
            _act(field, values[start : start + AT_ONCE], deletion.connection.alias)


def _act(field: Any, values: Sequence[Any], alias: str) -> None:
    rows = field.model._base_manager.using(alias)
    pointing = rows.filter(**{f"{field.attname}__in": values})
    operation = field.remote_field.on_delete.operation
    if operation == "CASCADE":
        pointing._raw_delete(alias)
    elif operation == "SET NULL":
        pointing.update(**{field.attname: None})
    else:
        pointing.update(**{field.attname: field.db_default})
