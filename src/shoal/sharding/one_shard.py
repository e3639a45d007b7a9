"""Takes a statement, gives the rows that the one shard answers which has them all."""

from typing import Any

from shoal.sharding.naming import naming
from shoal.types import Alias


def run(compiler: Any, alias: Alias, sql: str, params: Any, *, is_chunked: bool) -> Any:
    """Run it there, and return a cursor with its rows."""
    connection = connection_to(compiler, alias)
    with naming(alias):
        cursor = connection.chunked_cursor() if is_chunked else connection.cursor()
        try:
            cursor.execute(sql, params)
        except BaseException:
            cursor.close()
            raise
    # The driver's own where all rows are there: no error of it is to come.
    return cursor if is_chunked else cursor.cursor


def connection_to(compiler: Any, alias: Alias) -> Any:
    """Return the connection on which a query is run there: one that locks, writes."""
    owner = compiler.connection
    if compiler.query.select_for_update:
        return owner.shard(alias)
    return owner.shard_to_read(alias)
