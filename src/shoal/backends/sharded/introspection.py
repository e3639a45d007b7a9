"""Tells what tables there are, as the home shard has them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.backends.base.introspection import BaseDatabaseIntrospection

if TYPE_CHECKING:
    _Base = BaseDatabaseIntrospection
else:
    _Base = object

_TAKE_A_CURSOR = (
    "get_constraints",
    "get_key_columns",
    "get_primary_key_column",
    "get_primary_key_columns",
    "get_relations",
    "get_sequences",
    "get_storage_engine",
    "get_table_description",
    "get_table_list",
)


class ShardedIntrospection(_Base):
    """Goes before the vendor's `DatabaseIntrospection`."""

    connection: Any


def _at_home(name: str) -> Callable[..., Any]:
    """Return the method `name`, which asks with a cursor of the home shard."""

    def method(self: Any, cursor: Any, *args: Any, **kwargs: Any) -> Any:
        # The cursor of a sharded alias does not know which shard to ask.
        with self.connection.home.cursor() as of_home:
            real = getattr(super(ShardedIntrospection, self), name)
            return real(of_home, *args, **kwargs)

    return method


for _name in _TAKE_A_CURSOR:
    setattr(ShardedIntrospection, _name, _at_home(_name))
