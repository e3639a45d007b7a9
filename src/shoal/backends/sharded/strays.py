"""
Takes a write on the alias of one shard, lets the sharded alias do it where one shard
alone would do it wrong.

So a row gets an id that no other shard gives, and is refused on a shard that it does
not belong to: nobody would ever find it there. And the rows of a reference table stay
the same on all shards.
"""

import functools
from collections.abc import Callable
from typing import Any

from django.db.models.sql import compiler as django

from shoal.placement.layout import Layout, layout_of, lives_on
from shoal.placement.scopes import current_target, on_shard


class ShardOperations:
    """Goes before the vendor's `DatabaseOperations` on a shard's connection."""

    connection: Any

    def compiler(self, compiler_name: str) -> Any:
        return compiler_over(super().compiler(compiler_name))  # type: ignore[misc]


class _Writing:
    connection: Any
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("execute_sql", super().execute_sql, *args, **kwargs)  # type: ignore[misc]

    def _run(
        self, name: str, here: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        owner = self.connection.shoal_owner()
        if owner is None or not self._is_of(owner):
            return here(*args, **kwargs)
        compiler = self.query.get_compiler(owner.alias)
        with on_shard(owner.cluster.name, shard=self.connection.alias):
            return getattr(compiler, name)(*args, **kwargs)

    def _is_of(self, owner: Any) -> bool:
        """Say whether the sharded alias has to know of these rows."""
        model = self.query.get_meta().model
        if owner.statements or not lives_on(model, owner.cluster):
            # It has sent this itself.
            return False
        layout = layout_of(model, owner.cluster)
        if layout.kind == "reference":
            # Inside on_shard() the alias is named on purpose: a shard is mended so.
            return current_target(owner.cluster.name) != (self.connection.alias,)
        return layout.kind == "sharded" and self._places_rows(layout)

    def _places_rows(self, layout: Layout) -> bool:
        """Say whether sharded rows come to lie somewhere by this."""
        raise NotImplementedError


class Insert(_Writing):
    """Every new row has to get its id, and to be where it belongs."""

    def _places_rows(self, layout: Layout) -> bool:
        return True


class Update(_Writing):
    """A row lies somewhere anew only where its key, or its id, is set."""

    def execute_returning_sql(self, *args: Any, **kwargs: Any) -> Any:
        here = super().execute_returning_sql  # type: ignore[misc]
        return self._run("execute_returning_sql", here, *args, **kwargs)

    def _places_rows(self, layout: Layout) -> bool:
        columns = {*layout.key, *layout.locators}
        return any(field.column in columns for field, _, _ in self.query.values)


class Delete(_Writing):
    """Only a reference table's rows are deleted on all shards."""

    def _places_rows(self, layout: Layout) -> bool:
        return False


_KINDS: tuple[tuple[type, type], ...] = (
    (django.SQLInsertCompiler, Insert),
    (django.SQLUpdateCompiler, Update),
    (django.SQLDeleteCompiler, Delete),
)


@functools.cache
def operations_over(vendor: type) -> type:
    """Return the operations of a shard over a vendor's."""
    return type(
        vendor.__name__, (ShardOperations, vendor), {"__module__": vendor.__module__}
    )


@functools.cache
def compiler_over(vendor: Any) -> Any:
    """Return the compiler of a shard over one of the vendor's."""
    for kind, ours in _KINDS:
        if issubclass(vendor, kind):
            return type(
                vendor.__name__, (ours, vendor), {"__module__": vendor.__module__}
            )
    return vendor
