"""
Takes objects to insert, sends each to the shard of its key, or to every shard.

Rows come back in the order of the objects, whatever shards they went to.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery

from shoal.errors import KeyMismatch
from shoal.placement.buckets import bucket_map
from shoal.placement.layout import Layout, layout_of
from shoal.placement.scopes import current_target
from shoal.sharding.counting import as_one_query
from shoal.sharding.occurrences import Levels, occurrences
from shoal.sharding.telling import Why
from shoal.sharding.writing.allotting import Allotting
from shoal.sharding.writing.apart import Apart
from shoal.sharding.writing.bucketing import Bucketing
from shoal.sharding.writing.conflicts import Conflicts
from shoal.sharding.writing.everywhere import AtOnce
from shoal.sharding.writing.statement import Entangled
from shoal.sharding.writing.values import Values
from shoal.topology import Cluster
from shoal.types import Alias


class Inserting:
    """One INSERT of Django, until its rows are on their shards."""

    def __init__(self, compiler: Any, execute: Callable[..., Any]) -> None:
        self._compiler, self._execute = compiler, execute
        self._connection = compiler.connection
        self._cluster: Cluster = compiler.connection.cluster
        self._query: Any = compiler.query
        self._meta: Any = compiler.query.get_meta()
        self._layout: Layout = layout_of(self._meta.model, self._cluster)
        self._values = Values(compiler)
        self._bucketing = Bucketing(self._layout, self._values)

    def run(self, returning_fields: Any) -> Any:
        layout = self._layout
        self._values.ask_for_defaults(layout)
        shards = [shard.name for shard in self._cluster.shards]
        if layout.kind == "home":
            return self._send(self._query.objs, shards[:1], returning_fields)
        if layout.kind == "local":
            return self._send(self._query.objs, shards, returning_fields)
        conflicts = self._conflicts()
        Allotting(self._compiler, layout, self._bucketing).run()
        if layout.kind == "reference":
            self._values.compute(self._query.objs)
            return self._everywhere(shards, returning_fields)
        if conflicts is not None and conflicts.are_beyond_a_shard:
            return self._unless_there(conflicts, returning_fields)
        return self._to_their_shards(returning_fields)

    def _conflicts(self) -> Conflicts | None:
        """Return what rows may conflict over; raises before any server is asked."""
        may_conflict = self._query.on_conflict is not None
        is_sharded = self._layout.kind == "sharded"
        return Conflicts(self._compiler) if may_conflict and is_sharded else None

    def _unless_there(self, conflicts: Conflicts, returning_fields: Any) -> list[Any]:
        """Insert what is on no shard yet, and update or leave out the rest."""
        objs = self._query.objs
        rows: list[Any] = [None] * len(objs)
        with self._as_one():
            there = conflicts.existing(objs)
            new = [index for index in range(len(objs)) if index not in there]
            if new:
                self._query.objs = [objs[index] for index in new]
                try:
                    inserted = self._to_their_shards(returning_fields)
                finally:
                    self._query.objs = objs
                for index, row in zip(new, inserted, strict=False):
                    rows[index] = row
            if self._query.on_conflict == OnConflict.UPDATE:
                for index, where in there.items():
                    conflicts.update(objs[index], where)
                    if returning_fields:
                        rows[index] = conflicts.row(where, returning_fields)
        return rows if returning_fields else []

    def _to_their_shards(self, returning_fields: Any) -> Any:
        shard_of = bucket_map(self._cluster).shard_of
        found: dict[Alias, list[int]] = defaultdict(list)
        for index, bucket in enumerate(self._bucketing.of(self._query.objs)):
            found[shard_of(bucket)].append(index)
        # In this order whoever takes turns waits for a lock of another.
        names = [shard.name for shard in self._cluster.shards]
        groups = {alias: found[alias] for alias in names if alias in found}
        self._require_target(groups)
        if len(groups) == 1:
            (alias,) = groups
            return self._send(self._query.objs, [alias], returning_fields)
        return self._send_groups(groups, returning_fields)

    def _require_target(self, groups: dict[Alias, list[int]]) -> None:
        target = current_target(self._cluster.name)
        for alias in groups:
            if target is not None and alias not in target:
                raise KeyMismatch(
                    f"A row of {self._layout.model} belongs on {alias!r}, but was to "
                    f"be inserted on {', '.join(target)!r}.",
                    hint="Insert it outside of on_shard(), on the sharded alias "
                    f"{self._cluster.name!r}.",
                )

    def _send_groups(
        self, groups: dict[Alias, list[int]], returning_fields: Any
    ) -> list[Any]:
        objs = self._query.objs
        # All of them or none, as with one statement.
        with self._as_one():
            is_plain = bool(self._query.fields) and self._values.are_plain()
            if not is_plain and self._values.look_at_rows():
                # A shard would see the rows of this statement that it got before.
                self._values.compute(objs)
            prepare = self._values.prepared if is_plain else None
            apart = Apart(
                self._connection,
                groups,
                self._why,
                prepare,
                may_wait=self._query.on_conflict is not None,
            )
            self._compiler.apart = apart
            try:
                with (
                    apart.cursors,
                    self._connection.answering(apart),
                    apart.together,
                ):
                    return list(self._execute(returning_fields))
            finally:
                self._compiler.apart = None
                self._query.objs = objs

    def _everywhere(self, shards: list[Alias], returning_fields: Any) -> Any:
        with self._as_one():
            return self._send(self._query.objs, shards, returning_fields)

    @contextlib.contextmanager
    def _as_one(self) -> Iterator[None]:
        with (
            as_one_query(self._connection),
            transaction.atomic(using=self._connection.alias, savepoint=False),
        ):
            yield

    def _send(
        self, objs: Sequence[Any], shards: list[Alias], returning_fields: Any
    ) -> list[Any]:
        everywhere = InsertStatement(
            self._connection, shards, counted=shards[0], why=self._why
        )
        query: InsertQuery = self._query
        before = query.objs
        query.objs = list(objs)
        try:
            with self._connection.answering(everywhere):
                rows = self._execute(returning_fields)
        except Entangled:
            self._values.compute(query.objs)
            rows = self._send(query.objs, shards, returning_fields)
        finally:
            query.objs = before
        return list(rows)

    def _why(self) -> Why:
        kind = self._layout.kind
        if kind != "sharded":
            return Why(because="every shard" if kind == "local" else kind)
        table = self._meta.db_table
        columns = tuple(f"{table}.{name}" for name in self._layout.key)
        return Why(because="key", columns=columns)


class InsertStatement(AtOnce):
    """Rows on shards, unless their values come out of other rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.levels = Levels()

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        if occurrences(self.levels, ""):
            raise Entangled
        return super().answer(sql, params, is_chunked=is_chunked)
