"""
Takes a compiled query, decides who answers it, the cheapest that is proven right.

One shard, if every row that it needs is there. Every shard its part, if no row of one
meets a row of another. Otherwise its tables are brought together, as much of them as it
can need.
"""

from typing import Any

from shoal.placement.scopes import current_target
from shoal.sharding.deadlines import Watch, end_for
from shoal.sharding.gather import Rows
from shoal.sharding.occurrences import Levels, note, occurrences
from shoal.sharding.one_shard import run
from shoal.sharding.permitting import permit_scatter
from shoal.sharding.plan import Part, Plan, Statement
from shoal.sharding.plans import Pinned, Shape, plans_of
from shoal.sharding.scattering import Scattering
from shoal.sharding.telling import Why, asked, scattered
from shoal.sharding.ways import ways
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

    def plan(self, sql: str, params: Any) -> Plan:
        """Return how it would be answered, without asking for rows."""
        shard = self._shard_of_block()
        if shard is not None:
            statement = Statement(sql=sql, params=tuple(params))
            return Plan(
                cluster=self._cluster.name,
                way="one shard",
                shards=(shard,),
                why=Why(because="on_shard"),
                parts=(Part(aliases=(shard,), statement=statement),),
            )
        where = self._where(sql)
        plans = (
            way.plan(sql, params) for way in ways(self._compiler, self._levels, where)
        )
        return next(plan for plan in plans if plan is not None)

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        end = end_for(self._cluster)
        if end is None:
            return self._answer(sql, params, is_chunked=is_chunked)
        with Watch(self._cluster.name, end):
            answer = self._answer(sql, params, is_chunked=is_chunked)
            is_lazy = self._connection.vendor == "sqlite" and not is_chunked
            # SQLite looks for a row when it is fetched: when the time is still minded.
            return Rows(answer) if is_lazy else answer

    def _answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any:
        shard = self._shard_of_block()
        if shard is not None:
            asked(self._cluster.name, shard, lambda: Why(because="on_shard"))
            return run(self._compiler, shard, sql, params, is_chunked=is_chunked)
        known = plans_of(self._compiler.query, self._cluster)
        shape = known.get(sql)
        if shape is not None:
            answer = self._as_before(shape, sql, params, is_chunked=is_chunked)
            if answer is not None:
                return answer
        where = self._where(sql)
        for way in ways(self._compiler, self._levels, where):
            answer = way.answer(sql, params, is_chunked=is_chunked)
            if answer is not None:
                shape = way.shape()
                if shape is not None:
                    known[sql] = shape
                return answer
        raise AssertionError(sql)

    def _shard_of_block(self) -> Alias | None:
        target = current_target(self._cluster.name)
        return target[0] if target is not None and len(target) == 1 else None

    def _as_before(
        self, shape: Shape, sql: str, params: Any, *, is_chunked: bool
    ) -> Any:
        """Answer as a query of the same shape was; `None` if its values forbid it."""
        name = self._cluster.name
        if isinstance(shape, Pinned):
            shard = shape.shard(self._compiler.query, self._cluster)
            if shard is None:
                return None
            asked(name, shard, lambda: self._where(sql).why())
            return run(self._compiler, shard, sql, params, is_chunked=is_chunked)
        shards = [shard.name for shard in self._cluster.shards]
        permit_scatter(self._cluster, shards, lambda: self._where(sql).why())
        parts = Scattering(self._compiler, shards, shape.folds, shape)
        answer = parts.answer(sql, params, is_chunked=is_chunked)
        scattered(name, shards, lambda: self._where(sql).why())
        return answer

    def _where(self, sql: str) -> Where:
        """Compile it once more, and note what it is made of."""
        self._levels = note(self._compiler)
        return Where(self._connection, occurrences(self._levels, sql))
