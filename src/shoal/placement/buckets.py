"""
Takes a sharded cluster, gives its bucket map: which shard has which bucket.

Read from the control database once per process, and kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

from django.db import DatabaseError

from shoal.conf import on_settings_change
from shoal.errors import MapMissing, UnknownShard
from shoal.placement.control import Control, Place, place, reached, reached_tables
from shoal.topology import Cluster
from shoal.types import Alias, Bucket, ClusterName

BUCKETS = 4096


@dataclass(frozen=True)
class Range:
    """Buckets that follow each other and are on one shard."""

    first: Bucket
    last: Bucket
    """Belongs to it."""
    shard: Alias


@dataclass(frozen=True, kw_only=True)
class BucketMap:
    """Says of each bucket which shard it is on; complete, and without overlaps."""

    version: int
    ranges: tuple[Range, ...]
    """In order of their buckets."""
    _shards: tuple[Alias, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shards = chain.from_iterable(
            repeat(part.shard, part.last - part.first + 1) for part in self.ranges
        )
        object.__setattr__(self, "_shards", tuple(shards))

    def shard_of(self, bucket: Bucket) -> Alias:
        return self._shards[bucket]

    def buckets_of(self, shard: Alias) -> frozenset[Bucket]:
        """Return what is on this shard: perhaps nothing."""
        parts = (range(p.first, p.last + 1) for p in self.ranges if p.shard == shard)
        return frozenset(chain.from_iterable(parts))


_maps: dict[tuple[Place, ClusterName], BucketMap] = {}
on_settings_change(_maps.clear)


def even_map(shards: Sequence[Alias]) -> BucketMap:
    """Share the buckets out evenly, in the order of the shards. Pure."""
    ends = [-(-i * BUCKETS // len(shards)) for i in range(len(shards) + 1)]
    return BucketMap(
        version=1,
        ranges=tuple(
            Range(ends[i], ends[i + 1] - 1, shard) for i, shard in enumerate(shards)
        ),
    )


def bucket_map(cluster: Cluster) -> BucketMap:
    """Return the map as this process knows it; see `refresh`."""
    try:
        return _maps[place(), cluster.name]
    except KeyError:
        return refresh(cluster)


def refresh(cluster: Cluster) -> BucketMap:
    """Read the map anew. Raises `MapMissing`, and `UnknownShard` if it is no use."""
    where = place()
    with reached_tables() as control:
        found = _read(control, cluster)
    if found is None:
        raise MapMissing(
            f"The control database {where[0]!r} has no bucket map for the cluster "
            f"{cluster.name!r}.",
            hint="Run `manage.py shoal migrate`.",
        )
    _maps[where, cluster.name] = found
    return found


def create_map(cluster: Cluster) -> BucketMap:
    """
    Create an even map where there is none, and return the one that there is.

    Of several processes at once one wins: the row of a cluster is unique.
    """
    even = even_map([shard.name for shard in cluster.shards])
    failed: DatabaseError | None = None
    with reached_tables() as control:
        if _read(control, cluster) is None:
            try:
                _write(control, cluster.name, even)
            except DatabaseError as error:
                failed = error
    try:
        return refresh(cluster)
    except MapMissing:
        if failed is None:
            raise
        raise failed from None


def create_tables() -> None:
    """
    Create the tables of the control database that are not there.

    So that it can be used before, or without, a run of `migrate`, which will find them.
    """
    with reached() as control:
        control.create_missing()


def get_ready(cluster: Cluster) -> BucketMap:
    """Create what the control database lacks for this cluster; return the map."""
    create_tables()
    return create_map(cluster)


def _read(control: Control, cluster: Cluster) -> BucketMap | None:
    rows = control.run(
        'SELECT c."version", r."first", r."last", r."shard" FROM "shoal_cluster" c '
        'JOIN "shoal_range" r ON r."cluster" = c."cluster" '
        'WHERE c."cluster" = %s ORDER BY r."first"',
        cluster.name,
    )
    if not rows:
        return None
    ranges = tuple(Range(*row[1:]) for row in rows)
    _check(cluster, ranges)
    return BucketMap(version=rows[0][0], ranges=ranges)


def _write(control: Control, name: ClusterName, new: BucketMap) -> None:
    with control.transaction():
        control.run(
            'INSERT INTO "shoal_cluster" ("cluster", "version") VALUES (%s, %s)',
            name,
            new.version,
        )
        for part in new.ranges:
            control.run(
                'INSERT INTO "shoal_range" ("cluster", "first", "last", "shard") '
                "VALUES (%s, %s, %s, %s)",
                name,
                part.first,
                part.last,
                part.shard,
            )


def _check(cluster: Cluster, ranges: Iterable[Range]) -> None:
    """Raise `UnknownShard` unless each bucket is on exactly one of the shards."""
    known = [shard.name for shard in cluster.shards]
    end = Range(BUCKETS, BUCKETS, "")
    free = 0
    for part in (*ranges, end):
        if part.first != free:
            raise UnknownShard(
                f"The bucket map of the cluster {cluster.name!r} has "
                + (
                    f"no shard for the buckets {free} to {part.first - 1}."
                    if part.first > free
                    else f"two shards for the bucket {part.first}."
                ),
                hint="Restore the table 'shoal_range' from a backup: nothing but "
                "Shoal may write it.",
            )
        if part is not end and part.shard not in known:
            raise UnknownShard(
                f"The bucket map of the cluster {cluster.name!r} has the buckets "
                f"{part.first} to {part.last} on {part.shard!r}, which is not one of "
                "its SHARDS.",
                hint=f"Put {part.shard!r} back: the rows are there. SHARDS has: "
                f"{', '.join(map(repr, known))}.",
            )
        free = part.last + 1
