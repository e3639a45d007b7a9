"""
Lets a schema editor leave out the foreign keys that no shard can check alone.

For the editor of a sharded alias, and for that of a shard which is brought up to the
others by itself.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from shoal.placement.enforcing import enforces
from shoal.topology import get_topology

if TYPE_CHECKING:
    _Base = BaseDatabaseSchemaEditor
else:
    _Base = object


class Deferred(list[Any]):
    """
    What is run at the end of a migration, and does not keep Django from recording it.

    If any is left to run, Django records the migration once the tables are committed.
    A run that dies in between would leave shards that differ, and no record of why. In
    one transaction, both are there or neither.
    """

    def __bool__(self) -> bool:
        return False


class RelaxingSchemaEditor(_Base):
    """Goes before the vendor's `DatabaseSchemaEditor`."""

    connection: Any
    atomic_migration: bool
    _is_relaxed = False

    @property
    def deferred_sql(self) -> list[Any]:
        return self._deferred_sql

    @deferred_sql.setter
    def deferred_sql(self, value: list[Any]) -> None:
        self._deferred_sql = Deferred(value) if self.atomic_migration else value

    def create_model(self, model: Any) -> None:
        with self._relaxed(model):
            super().create_model(model)

    def add_field(self, model: Any, field: Any) -> None:
        with self._relaxed(model, field):
            super().add_field(model, field)

    def alter_field(
        self, model: Any, old_field: Any, new_field: Any, strict: bool = False
    ) -> None:
        with self._relaxed(model, old_field, new_field):
            super().alter_field(model, old_field, new_field, strict)

    @contextlib.contextmanager
    def _relaxed(self, model: Any, *more: Any) -> Iterator[None]:
        """Let foreign keys be plain columns whose rows lie on several shards."""
        if self._is_relaxed:
            yield
            return
        fields = [*model._meta.local_fields, *more]
        for field in (*model._meta.local_many_to_many, *more):
            through = getattr(field.remote_field, "through", None)
            if through is not None and through._meta.auto_created:
                fields += through._meta.local_fields
        changed = [
            f for f in dict.fromkeys(fields) if self._is_beyond_a_shard(model, f)
        ]
        self._is_relaxed = True
        for field in changed:
            field.db_constraint = False
        try:
            yield
        finally:
            self._is_relaxed = False
            for field in changed:
                field.db_constraint = True

    def _is_beyond_a_shard(self, model: Any, field: Any) -> bool:
        if not (field.remote_field and getattr(field, "db_constraint", False)):
            return False
        cluster, _ = get_topology().by_alias[self.connection.alias]
        # Schema editors take fields that are on no model yet.
        return not enforces(field, cluster, model=getattr(field, "model", model))


@functools.cache
def relaxing_over(vendor: type) -> type:
    """Return the schema editor of a shard over a vendor's."""
    return type(
        vendor.__name__,
        (RelaxingSchemaEditor, vendor),
        {"__module__": vendor.__module__},
    )
