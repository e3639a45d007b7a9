"""What `dbshell` says of a sharded alias, which has no shell of its own."""

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db.backends.base.client import BaseDatabaseClient

if TYPE_CHECKING:
    _Base = BaseDatabaseClient
else:
    _Base = object


class ShardedClient(_Base):
    """Goes before the vendor's `DatabaseClient`."""

    connection: Any

    def runshell(self, parameters: Any) -> None:
        shards = ", ".join(shard.name for shard in self.connection.cluster.shards)
        raise CommandError(
            f"The alias {self.connection.alias!r} stands for several databases. Open "
            f"the shell of one of its shards: dbshell --database ... ({shards})."
        )
