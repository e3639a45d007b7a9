"""
Takes objects to insert, gives each a primary key that has none.

An id that carries its bucket is made of a number and of the bucket of its key; where
the id is the key, the row may be anywhere, or on the shard that a block names.
"""

from collections.abc import Callable, Sequence
from typing import Any

from shoal.placement.buckets import BUCKETS, bucket_map
from shoal.placement.layout import Layout
from shoal.placement.scopes import current_target
from shoal.sharding.writing.bucketing import Bucketing
from shoal.sharding.writing.ids import Ids
from shoal.topology import Cluster


class Allotting:
    """The primary keys of one insert."""

    def __init__(self, compiler: Any, layout: Layout, bucketing: Bucketing) -> None:
        self._compiler, self._layout, self._bucketing = compiler, layout, bucketing
        self._connection = compiler.connection
        self._cluster: Cluster = compiler.connection.cluster
        self._query: Any = compiler.query
        self._meta: Any = compiler.query.get_meta()

    def run(self) -> None:
        """Give those an id that have none."""
        layout, pk = self._layout, self._meta.pk
        if not layout.allots_ids:
            return
        objs = self._query.objs
        has_pk = pk in self._query.fields
        given = self._compiler.values_of(pk, objs) if has_pk else [None] * len(objs)
        pairs = zip(objs, given, strict=True)
        without = [obj for obj, value in pairs if value is None]
        ids = Ids(self._connection, self._meta.model, layout)
        if without:
            numbers = ids.allot(len(without), self._fits())
            self._compiler.set_values(pk, without, self._ids(without, numbers))
            if not has_pk:
                self._query.fields = [*self._query.fields, pk]
        ids.seen([value for value in given if value is not None])

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

    def _ids(self, objs: Sequence[Any], numbers: Sequence[int]) -> Sequence[int]:
        layout = self._layout
        if layout.ids != "bucketed":
            return numbers
        if layout.key == layout.primary_key:
            buckets = [self._free_bucket(number) for number in numbers]
        else:
            buckets = self._bucketing.of_keys(objs)
        self._bucketing.put(objs, buckets)
        pairs = zip(numbers, buckets, strict=True)
        return [number * BUCKETS + bucket for number, bucket in pairs]

    def _free_bucket(self, number: int) -> int:
        """Return a bucket for a row that may be anywhere, or on one shard."""
        target = current_target(self._cluster.name)
        if target is None:
            return _spread(number)
        shards = bucket_map(self._cluster)
        buckets = sorted(b for alias in target for b in shards.buckets_of(alias))
        # A shard without buckets takes no row: that is said where the row is sent.
        return buckets[_spread(number) % len(buckets)] if buckets else _spread(number)


def _spread(number: int) -> int:
    """Return a bucket, so that numbers that follow each other go to distant ones."""
    # Backwards, since neighbouring buckets mostly are on one shard.
    return int(f"{number % BUCKETS:012b}"[::-1], 2)
