"""
Changes the tables of every shard at once, each as the vendor's own editor would.

A foreign key becomes a constraint only where each shard can check it alone.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from shoal.placement.enforcing import enforces
from shoal.sharding.writing.everywhere import Everywhere

if TYPE_CHECKING:
    _Base = BaseDatabaseSchemaEditor
else:
    _Base = object


class ShardedSchemaEditor(_Base):
    """Goes before the vendor's `DatabaseSchemaEditor`."""

    connection: Any
    _is_relaxed = False

    def __enter__(self) -> Any:
        connection = self.connection
        shards = [shard.name for shard in connection.cluster.shards]
        self._everywhere = Everywhere(connection, shards)
        connection.statements.append(self._everywhere)
        try:
            return super().__enter__()
        except BaseException:
            connection.statements.remove(self._everywhere)
            raise

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.connection.statements.remove(self._everywhere)

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
        changed = [f for f in dict.fromkeys(fields) if self._is_beyond_a_shard(f)]
        self._is_relaxed = True
        for field in changed:
            field.db_constraint = False
        try:
            yield
        finally:
            self._is_relaxed = False
            for field in changed:
                field.db_constraint = True

    def _is_beyond_a_shard(self, field: Any) -> bool:
        if not (field.remote_field and getattr(field, "db_constraint", False)):
            return False
        return not enforces(field, self.connection.cluster)
