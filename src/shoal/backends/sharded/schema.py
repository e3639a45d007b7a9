"""
Changes the tables of every shard at once, each as the vendor's own editor would.

A foreign key becomes a constraint only where each shard can check it alone.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from shoal.backends.sharded.rekeying import require_same_key
from shoal.backends.sharded.relaxing import RelaxingSchemaEditor
from shoal.sharding.writing.everywhere import Everywhere
from shoal.types import Alias


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

    @contextlib.contextmanager
    def on_shards(self, shards: Sequence[Alias]) -> Iterator[None]:
        """Change these shards and no others in a block, with what it defers."""
        some = Everywhere(self.connection, shards)
        deferred, self.deferred_sql = self.deferred_sql, []
        self.connection.statements.append(some)
        try:
            yield
            for statement in self.deferred_sql:
                self.execute(statement, None)
        finally:
            self.connection.statements.remove(some)
            self.deferred_sql = deferred

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
