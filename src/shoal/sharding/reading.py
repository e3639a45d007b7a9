"""
Takes a compiled query, decides who answers it, the cheapest that is proven right.

One shard, if every row that it needs is there. Every shard its part, if no row of one
meets a row of another. Otherwise its tables are brought together, as much of them as it
can need.
"""

from typing import Any

from shoal.placement.scopes import current_target
from shoal.sharding.gather import Gathering, Rows
from shoal.sharding.locking import Locking
from shoal.sharding.naming import naming
from shoal.sharding.occurrences import Levels, occurrences
from shoal.sharding.scattering import scattering
from shoal.sharding.telling import Why, asked, gathered, scattered
from shoal.sharding.where import Where
from shoal.topology import Cluster
from shoal.types import Alias


class Reading:
    """One query, from when it is compiled to when it has its rows."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        self._connection = compiler.connection
        self._cluster: Cluster = compiler.connection.cluster
        self.levels = Levels()

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        target = current_target(self._cluster.name)
        name = self._cluster.name
        if target is not None and len(target) == 1:
            asked(name, target[0], lambda: Why(because="on_shard"))
            return self._run(target[0], sql, params, is_chunked=is_chunked)
        where = Where(self._connection, occurrences(self.levels, sql))
        shard = where.only_shard()
        if shard is not None:
            asked(name, shard, where.why)
            return self._run(shard, sql, params, is_chunked=is_chunked)
        apart = scattering(self._compiler, self.levels, where)
        if apart is not None:
            answer = apart.answer(sql, params, is_chunked=is_chunked)
            if answer is not None:
                scattered(name, apart.shards, where.why)
                return answer
        return self._gather(where, sql, params)

    def _run(self, alias: Alias, sql: str, params: Any, *, is_chunked: bool) -> Any:
        writes = self._compiler.query.select_for_update
        get = self._connection.shard if writes else self._connection.shard_to_read
        connection = get(alias)
        with naming(alias):
            open_ = connection.chunked_cursor if is_chunked else connection.cursor
            cursor = open_()
            try:
                cursor.execute(sql, params)
            except BaseException:
                cursor.close()
                raise
        return cursor

    def _gather(self, where: Where, sql: str, params: Any) -> Any:
        locking = Locking(self._compiler)
        locked = locking.primary_keys() if locking.is_on else None
        name = self._connection.home.settings_dict["NAME"]
        with self._connection.scratch.opened(name) as scratch:
            limit = self._cluster.max_gather_rows
            gathering = Gathering(self._compiler, scratch, sql, limit)
            if locking.is_on:
                gathering.lock(locking, locked)
            gathering.bring_all(where)
            home = self._cluster.home.name
            gathered(self._cluster.name, home, where.why, gathering.told(where))
            with scratch.cursor() as cursor:
                cursor.execute(sql, params)
                return Rows(cursor)
