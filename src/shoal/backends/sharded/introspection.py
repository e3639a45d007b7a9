"""
Tells what tables there are, as the home shard has them.

But for the table of migrations, which is there if any shard has it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.backends.base.introspection import BaseDatabaseIntrospection

from shoal.placement.models import MIGRATIONS
from shoal.topology.probe.asking import is_missing_file

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
)


class ShardedIntrospection(_Base):
    """Goes before the vendor's `DatabaseIntrospection`."""

    connection: Any

    def get_table_list(self, cursor: Any) -> Any:
        found = _tables_of(self.connection.home)
        for shard in self.connection.shard_connections():
            if any(table.name == MIGRATIONS for table in found):
                break
            # A home shard that is new must not make the others look so.
            found += [table for table in _tables_of(shard) if table.name == MIGRATIONS]
        return found


def _tables_of(shard: Any) -> list[Any]:
    if is_missing_file(shard):
        return []
    with shard.cursor() as cursor:
        return list(shard.introspection.get_table_list(cursor))


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
