"""
Changes the tables of every shard at once, each as the vendor's own editor would.

A foreign key becomes a constraint only where each shard can check it alone.
"""

from typing import Any

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

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.connection.changes_tables = False
            self.connection.statements.remove(self._everywhere)
