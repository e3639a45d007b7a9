"""
Takes a query and where its rows lie, gives the ways of answering it, the cheapest
first.

A way says its plan, and gives the answer. Either is `None` where only a closer look
shows that it is no way after all; the last one always is.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from shoal.sharding.composing import Composed, composing
from shoal.sharding.fetching import fetches
from shoal.sharding.gather import Gathering, Rows
from shoal.sharding.locking import Locking
from shoal.sharding.occurrences import Levels
from shoal.sharding.one_shard import run
from shoal.sharding.permitting import permit_gather, permit_scatter
from shoal.sharding.plan import Part, Plan, Statement
from shoal.sharding.plans import Shape
from shoal.sharding.scattering import Scattering, scattering
from shoal.sharding.scratch import home_name
from shoal.sharding.slicing import keys_of_slice
from shoal.sharding.telling import asked, gathered, scattered
from shoal.types import Alias


class Way(Protocol):
    """One way of answering a query."""

    def plan(self, sql: str, params: Any) -> Plan | None: ...

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any | None: ...

    def shape(self) -> Shape | None:
        """Return what holds of each query with this SQL, once this has answered."""


def ways(compiler: Any, levels: Levels, where: Any) -> Iterator[Way]:
    """Yield each that may be one: what is proven costs time, so one after the other."""
    shard = where.only_shard()
    if shard is not None:
        yield OneShard(compiler, where, shard)
        return
    parts = scattering(compiler, levels, where)
    if parts is not None:
        yield Apart(compiler, where, parts)
    composed = composing(compiler, levels, where)
    if composed is not None:
        yield Merged(compiler, where, composed)
    yield Gathered(compiler, levels, where)


class OneShard:
    """One shard has every row."""

    def __init__(self, compiler: Any, where: Any, shard: Alias) -> None:
        self._compiler, self._where, self._shard = compiler, where, shard

    def plan(self, sql: str, params: Any) -> Plan:
        statement = Statement(sql=sql, params=tuple(params))
        return Plan(
            cluster=self._compiler.connection.cluster.name,
            way="one shard",
            shards=(self._shard,),
            why=self._where.why(),
            parts=(Part(aliases=(self._shard,), statement=statement),),
        )

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any:
        cluster = self._compiler.connection.cluster
        asked(cluster.name, self._shard, self._where.why)
        return run(self._compiler, self._shard, sql, params, is_chunked=is_chunked)

    def shape(self) -> Shape | None:
        found: Shape | None = self._where.pinned(self._compiler.query)
        return found


class Apart:
    """Every shard answers its part."""

    def __init__(self, compiler: Any, where: Any, parts: Scattering) -> None:
        self._compiler, self._where, self._parts = compiler, where, parts

    def plan(self, sql: str, params: Any) -> Plan | None:
        part = self._parts.planned(sql, params)
        if part is None:
            return None
        statement, merge = part
        shards = tuple(self._parts.shards)
        return Plan(
            cluster=self._compiler.connection.cluster.name,
            way="scatter",
            shards=shards,
            why=self._where.why(),
            parts=(Part(aliases=shards, statement=statement),),
            merge=merge,
        )

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any | None:
        cluster = self._compiler.connection.cluster
        permit_scatter(cluster, self._parts.shards, self._where.why)
        answer = self._parts.answer(sql, params, is_chunked=is_chunked)
        if answer is not None:
            scattered(cluster.name, self._parts.shards, self._where.why)
        return answer

    def shape(self) -> Shape | None:
        return None if self._where.has_pins() else self._parts.plan


class Merged:
    """Every shard makes rows or groups, and the home server the answer of these."""

    def __init__(self, compiler: Any, where: Any, composed: Composed) -> None:
        self._compiler, self._where, self._composed = compiler, where, composed

    def plan(self, sql: str, params: Any) -> Plan | None:
        connection = self._compiler.connection
        with connection.scratch.opened(home_name(connection)) as scratch:
            # The server says of which types they are.
            whole = self._composed.whole_over(scratch)
        if whole is None:
            return None
        made = [(piece.shards, *piece.part()) for piece in self._composed.pieces]
        return Plan(
            cluster=connection.cluster.name,
            way="merge",
            shards=tuple(self._composed.shards),
            why=self._where.why(),
            parts=tuple(
                Part(aliases=tuple(shards), statement=Statement(sql=part, params=its))
                for shards, part, its in made
            ),
            home=connection.cluster.home.name,
            whole=Statement(sql=whole[0], params=whole[1]),
        )

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Any | None:
        cluster = self._compiler.connection.cluster
        permit_scatter(cluster, self._composed.shards, self._where.why)
        answer = self._composed.answer()
        if answer is not None:
            scattered(cluster.name, self._composed.shards, self._where.why)
        return answer

    def shape(self) -> None:
        return None


class Gathered:
    """The rows are brought together. There is nothing that cannot be answered so."""

    def __init__(self, compiler: Any, levels: Levels, where: Any) -> None:
        self._compiler, self._levels, self._where = compiler, levels, where

    def plan(self, sql: str, params: Any) -> Plan:
        cluster, where = self._compiler.connection.cluster, self._where
        made = where.tables()
        away = [table for table in made if not where.is_at_hand(table)]
        parts = tuple(fetches(self._compiler, where, away))
        return Plan(
            cluster=cluster.name,
            way="gather",
            shards=_names(alias for part in parts for alias in part.aliases),
            why=where.why(),
            parts=parts,
            home=cluster.home.name,
            whole=Statement(sql=sql, params=tuple(params)),
            at_home=_names(table.name for table in made if table not in away),
        )

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> Rows:
        permit_gather(self._compiler.connection.cluster, self._where)
        locking = Locking(self._compiler)
        if locking.is_on:
            return self._gathered(sql, params, locking.primary_keys(), locking)
        kept = keys_of_slice(self._compiler, self._levels)
        rows = self._gathered(sql, params, kept)
        query = self._compiler.query
        is_full = kept is not None and len(kept) == query.high_mark
        if is_full and rows.rowcount < query.high_mark - query.low_mark:
            # Joins have left out some of them, so that others move up.
            return self._gathered(sql, params)
        return rows

    def _gathered(
        self,
        sql: str,
        params: Any,
        kept: list[Any] | None = None,
        locking: Locking | None = None,
    ) -> Rows:
        """`kept`: the primary keys of the rows of its main table that matter."""
        connection, where = self._compiler.connection, self._where
        cluster = connection.cluster
        with connection.scratch.opened(home_name(connection)) as scratch:
            limit = cluster.max_gather_rows
            gathering = Gathering(self._compiler, scratch, sql, limit)
            gathering.keep(kept)
            if locking is not None:
                gathering.lock(locking)
            gathering.bring_all(where)
            told = gathering.told(where)
            gathered(cluster.name, cluster.home.name, where.why, told)
            with scratch.cursor() as cursor:
                cursor.execute(sql, params)
                return Rows(cursor)

    def shape(self) -> None:
        return None


def _names(found: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))
