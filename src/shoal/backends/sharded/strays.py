"""
Takes an insert on the alias of one shard, lets the sharded alias do it.

So a row gets an id that no other shard gives, and is refused on a shard that it does
not belong to: nobody would ever find it there.
"""

import functools
from typing import Any

from django.db.models.sql.compiler import SQLInsertCompiler

from shoal.placement.layout import layout_of, lives_on
from shoal.placement.scopes import current_target, on_shard


class ShardOperations:
    """Goes before the vendor's `DatabaseOperations` on a shard's connection."""

    connection: Any

    def compiler(self, compiler_name: str) -> Any:
        found: Any = super().compiler(compiler_name)  # type: ignore[misc]
        if not issubclass(found, SQLInsertCompiler):
            return found
        return compiler_over(found)


class Insert:
    connection: Any
    query: Any

    def execute_sql(self, returning_fields: Any = None) -> Any:
        owner = self.connection.shoal_owner()
        if owner is None or not self._is_of(owner):
            return super().execute_sql(returning_fields)  # type: ignore[misc]
        compiler = self.query.get_compiler(owner.alias)
        with on_shard(owner.cluster.name, shard=self.connection.alias):
            return compiler.execute_sql(returning_fields)

    def _is_of(self, owner: Any) -> bool:
        """Say whether the sharded alias has to know of these rows."""
        model = self.query.get_meta().model
        if owner.statements or not lives_on(model, owner.cluster):
            # It has sent this itself.
            return False
        kind = layout_of(model, owner.cluster).kind
        if kind == "reference":
            return current_target(owner.cluster.name) is None
        return kind == "sharded"


@functools.cache
def operations_over(vendor: type) -> type:
    return type(
        vendor.__name__, (ShardOperations, vendor), {"__module__": vendor.__module__}
    )


@functools.cache
def compiler_over(vendor: Any) -> type:
    return type(vendor.__name__, (Insert, vendor), {"__module__": vendor.__module__})
