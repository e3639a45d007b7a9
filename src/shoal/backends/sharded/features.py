"""What the shards can do, and what a sharded alias cannot. Asks the home shard."""

from typing import TYPE_CHECKING, Any

from django.db.backends.base.features import BaseDatabaseFeatures
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _Base = BaseDatabaseFeatures
else:
    _Base = object


_EXPLAINED = frozenset({"JSON", "TEXT", "TRADITIONAL", "TREE"})
"""Formats in which the plans of several servers are one document."""


class ShardedFeatures(_Base):
    """Goes before the vendor's `DatabaseFeatures`."""

    def __init__(self, connection: Any) -> None:
        # Several features are found out by asking the server.
        super().__init__(connection.home)

    @cached_property
    def supported_explain_formats(self) -> set[str]:  # type: ignore[override]
        return super().supported_explain_formats & _EXPLAINED
