"""What the shards can do, and what a sharded alias cannot. Asks the home shard."""

from typing import TYPE_CHECKING, Any

from django.db.backends.base.features import BaseDatabaseFeatures

if TYPE_CHECKING:
    _Base = BaseDatabaseFeatures
else:
    _Base = object


class ShardedFeatures(_Base):
    """Goes before the vendor's `DatabaseFeatures`."""

    # An update or deletion that looks at other tables first asks for the primary keys:
    # rows of those tables may be on any shard.
    update_can_self_select = False
    delete_can_self_reference_subquery = False

    def __init__(self, connection: Any) -> None:
        # Several features are found out by asking the server.
        super().__init__(connection.home)
