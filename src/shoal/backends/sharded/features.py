"""What the shards can do, and what a sharded alias cannot. Asks the home shard."""

from typing import TYPE_CHECKING, Any

from django.db.backends.base.features import BaseDatabaseFeatures

if TYPE_CHECKING:
    _Base = BaseDatabaseFeatures
else:
    _Base = object


class ShardedFeatures(_Base):
    """Goes before the vendor's `DatabaseFeatures`."""

    def __init__(self, connection: Any) -> None:
        # Several features are found out by asking the server.
        super().__init__(connection.home)
