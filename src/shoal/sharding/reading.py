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
from shoal.sharding.occurrences import Levels, note, occurrences
from shoal.sharding.plans import Pinned, Plan, plans_of
from shoal.sharding.regrouping import regrouping
from shoal.sharding.scattering import Scattering, scattering
from shoal.sharding.telling import Why, asked, gathered, scattered
from shoal.sharding.where import Where
from shoal.topology import Cluster
from shoal.types import Alias


class Reading:
    """One query, from when it is compiled to when it has its rows."""

    levels: Levels | None = None
    """Nobody notes what it is compiled from, unless its shape is new."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        self._connection = compiler.connection
        self._cluster: Cluster = compiler.connection.cluster

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        name = self._cluster.name
        target = current_target(name)
        if target is not None and len(target) == 1:
            asked(name, target[0], lambda: Why(because="on_shard"))
            return self._run(target[0], sql, params, is_chunked=is_chunked)
        known = plans_of(self._compiler.query, self._cluster)
        plan = known.get(sql)
        if plan is not None:
            answer = self._as_planned(plan, sql, params, is_chunked=is_chunked)
            if answer is not None:
                return answer
        where = self._where(sql)
        shard = where.only_shard()
        if shard is not None:
            pinned = where.pinned(self._compiler.query)
            if pinned is not None:
                known[sql] = pinned
            asked(name, shard, where.why)
            return self._run(shard, sql, params, is_chunked=is_chunked)
        parts = scattering(self._compiler, self._levels, where)
        answer = parts.answer(sql, params, is_chunked=is_chunked) if parts else None
        if parts is not None and answer is not None:
            if parts.plan is not None and not where.has_pins():
                known[sql] = parts.plan
            scattered(name, parts.shards, where.why)
            return answer
        groups = regrouping(self._compiler, self._levels, where)
        answer = groups.answer() if groups else None
        if groups is not None and answer is not None:
            scattered(name, groups.shards, where.why)
            return answer
        return self._gather(where, sql, params)

    def _as_planned(
        self, plan: Plan, sql: str, params: Any, *, is_chunked: bool
    ) -> Any:
        """Answer as a query of the same shape was; `None` if its values forbid it."""
        name = self._cluster.name
        if isinstance(plan, Pinned):
            shard = plan.shard(self._compiler.query, self._cluster)
            if shard is None:
                return None
            asked(name, shard, lambda: self._where(sql).why())
            return self._run(shard, sql, params, is_chunked=is_chunked)
        shards = [shard.name for shard in self._cluster.shards]
        parts = Scattering(self._compiler, shards, plan.folds, plan)
        answer = parts.answer(sql, params, is_chunked=is_chunked)
        scattered(name, shards, lambda: self._where(sql).why())
        return answer

    def _where(self, sql: str) -> Where:
        """Compile it once more, and note what it is made of."""
        self._levels = note(self._compiler)
        return Where(self._connection, occurrences(self._levels, sql))

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
        # The driver's own where all rows are there: no error of it is to come.
        return cursor if is_chunked else cursor.cursor

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
