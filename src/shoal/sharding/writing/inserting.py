"""
Takes objects to insert, gives each its id and its shard, and sends them there.

Rows come back in the order of the objects, whatever shards they went to.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.models import ExpressionWrapper
from django.db.models.constants import OnConflict
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import InsertQuery, Query
from django.db.models.sql.constants import MULTI

from shoal.errors import KeyMismatch
from shoal.placement.buckets import BUCKETS, bucket_map
from shoal.placement.layout import Layout, bucket_of, layout_of
from shoal.placement.scopes import current_target
from shoal.sharding.counting import as_one_query
from shoal.sharding.occurrences import Levels, occurrences
from shoal.sharding.telling import Why
from shoal.sharding.writing.conflicts import Conflicts
from shoal.sharding.writing.everywhere import Everywhere
from shoal.sharding.writing.ids import Ids
from shoal.sharding.writing.statement import Entangled
from shoal.topology import Cluster
from shoal.types import Alias


class Inserting:
    def __init__(self, compiler: Any, execute: Callable[..., Any]) -> None:
        self._compiler, self._execute = compiler, execute
        self._connection = compiler.connection
        self._cluster: Cluster = compiler.connection.cluster
        self._query: Any = compiler.query
        self._meta: Any = compiler.query.get_meta()
        self._layout: Layout = layout_of(self._meta.model, self._cluster)

    def run(self, returning_fields: Any) -> Any:
        layout = self._layout
        self._ask_for_defaults()
        shards = [shard.name for shard in self._cluster.shards]
        if layout.kind == "home":
            return self._send(self._query.objs, shards[:1], returning_fields)
        if layout.kind == "local":
            return self._send(self._query.objs, shards, returning_fields)
        self._allot()
        if layout.kind == "reference":
            self._compute_values(self._query.objs)
            return self._everywhere(shards, returning_fields)
        if self._query.on_conflict is not None:
            conflicts = Conflicts(self._compiler)
            if conflicts.are_beyond_a_shard:
                return self._unless_there(conflicts, returning_fields)
        return self._to_their_shards(returning_fields)

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

    def _ask_for_defaults(self) -> None:
        """Let a shard compute what the database would, where it must be known."""
        layout = self._layout
        columns = {*layout.key, *layout.locators, *layout.primary_key}
        if layout.kind == "reference":
            # Every shard gets the same value.
            columns |= {field.column for field in self._meta.concrete_fields}
        for field in self._query.fields:
            if field.column in columns and field.has_db_default():
                for obj in self._query.objs:
                    if isinstance(getattr(obj, field.attname), DatabaseDefault):
                        setattr(obj, field.attname, self._computed(field))

    def _computed(self, field: Any) -> Any:
        default = field.db_default
        if not hasattr(default, "resolve_expression"):
            return default
        return self._ask(default, field)

    def _ask(self, expression: Any, field: Any) -> Any:
        query: Any = Query(None)
        value = ExpressionWrapper(expression, output_field=field)
        query.add_annotation(value, "value")
        compiler = query.get_compiler(self._connection.alias)
        (row,) = compiler.results_iter(compiler.execute_sql(MULTI))
        return row[0]

    def _allot(self) -> None:
        """Give those an id that have none."""
        layout, pk = self._layout, self._meta.pk
        if not layout.allots_ids:
            return
        objs = self._query.objs
        has_pk = pk in self._query.fields
        given = {id(o): self._compiler.pre_save_val(pk, o) for o in objs if has_pk}
        without = [obj for obj in objs if given.get(id(obj)) is None]
        ids = Ids(self._connection, self._meta.model, layout)
        if without:
            numbers = ids.allot(len(without), self._fits())
            self._compiler.allotted = {
                id(obj): self._id(obj, number)
                for obj, number in zip(without, numbers, strict=True)
            }
            if not has_pk:
                self._query.fields = [*self._query.fields, pk]
        ids.seen([value for value in given.values() if value is not None])

    def _fits(self) -> Callable[[int], bool] | None:
        """Return what says if a plain number is the key of a row that may come here."""
        layout, target = self._layout, current_target(self._cluster.name)
        scheme = layout.scheme
        is_key = layout.ids == "plain" and layout.key == layout.primary_key
        if target is None or scheme is None or not is_key:
            return None
        shards = bucket_map(self._cluster)
        if not any(shards.buckets_of(alias) for alias in target):
            return None
        return lambda number: shards.shard_of(scheme.bucket(number)) in target

    def _id(self, obj: Any, number: int) -> int:
        layout = self._layout
        if layout.ids != "bucketed":
            return number
        if layout.key == layout.primary_key:
            return number * BUCKETS + self._free_bucket(number)
        values = self._values(obj, layout.key)
        return number * BUCKETS + bucket_of(layout, values)

    def _free_bucket(self, number: int) -> int:
        """Return a bucket for a row that may be anywhere, or on one shard."""
        target = current_target(self._cluster.name)
        if target is None:
            return _spread(number)
        shards = bucket_map(self._cluster)
        buckets = sorted(b for alias in target for b in shards.buckets_of(alias))
        return buckets[_spread(number) % len(buckets)]

    def _values(self, obj: Any, columns: Sequence[str]) -> dict[str, Any]:
        fields = {field.column: field for field in self._meta.concrete_fields}
        return {
            name: self._value(fields[name], obj) for name in columns if name in fields
        }

    def _value(self, field: Any, obj: Any) -> Any:
        if field not in self._query.fields:
            return getattr(obj, field.attname)
        value = self._compiler.pre_save_val(field, obj)
        if not hasattr(value, "resolve_expression"):
            # Django's own error for what is no value of the field comes first.
            field.get_prep_value(value)
        return value

    def _to_their_shards(self, returning_fields: Any) -> Any:
        layout = self._layout
        columns = [*layout.key, *layout.locators]
        shards = bucket_map(self._cluster)
        groups: dict[Alias, list[int]] = {}
        for index, obj in enumerate(self._query.objs):
            values = self._values(obj, columns)
            bucket = bucket_of(layout, values)
            groups.setdefault(shards.shard_of(bucket), []).append(index)
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
        rows: list[Any] = [None] * len(objs)
        # All of them or none, as with one statement.
        with self._as_one():
            for alias, indexes in groups.items():
                group = [objs[index] for index in indexes]
                found = self._send(group, [alias], returning_fields)
                for index, row in zip(indexes, found, strict=False):
                    rows[index] = row
        return rows if returning_fields else []

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
            self._compute_values(query.objs)
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

    def _compute_values(self, objs: Sequence[Any]) -> None:
        """Ask for what is to be inserted, where an expression says it."""
        for field in self._query.fields:
            for obj in objs:
                value = self._compiler.pre_save_val(field, obj)
                if hasattr(value, "resolve_expression"):
                    self._compiler.saved[id(obj), field] = self._ask(value, field)


def _spread(number: int) -> int:
    """Return a bucket, so that numbers that follow each other go to distant ones."""
    # Backwards, since neighbouring buckets mostly are on one shard.
    return int(f"{number % BUCKETS:012b}"[::-1], 2)


class InsertStatement(Everywhere):
    """Rows on shards, unless their values come out of other rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.levels = Levels()

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        if occurrences(self.levels, ""):
            raise Entangled
        return super().answer(sql, params, is_chunked=is_chunked)
