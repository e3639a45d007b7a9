"""
Changes the tables of every shard at once, each as the vendor's own editor would.

A foreign key becomes a constraint only where each shard can check it alone.
"""

from typing import Any

from shoal.backends.sharded.rekeying import require_same_key
from shoal.backends.sharded.relaxing import RelaxingSchemaEditor
from shoal.sharding.writing.everywhere import Everywhere


class ShardedSchemaEditor(RelaxingSchemaEditor):
    """Goes before the vendor's `DatabaseSchemaEditor`."""

    def __enter__(self) -> Any:
        connection = self.connection
        shards = [shard.name for shard in connection.cluster.shards]
        self._everywhere = Everywhere(connection, shards)
        connection.statements.append(self._everywhere)
        try:
            entered = super().__enter__()
        except BaseException:
            connection.statements.remove(self._everywhere)
            raise
        connection.changes_tables = True
        return entered

    def add_field(self, model: Any, field: Any) -> None:
        after = getattr(field, "model", model)
        require_same_key(self.connection, model, after, ("", ""))
        super().add_field(model, field)

    def alter_field(
        self, model: Any, old_field: Any, new_field: Any, strict: bool = False
    ) -> None:
        after = getattr(new_field, "model", model)
        renamed = (str(old_field.column), str(new_field.column))
        require_same_key(self.connection, model, after, renamed)
        super().alter_field(model, old_field, new_field, strict)

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.connection.changes_tables = False
            self.connection.statements.remove(self._everywhere)
