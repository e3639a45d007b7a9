"""Takes a sharded cluster, gives which migrations each of its shards has recorded."""

from collections.abc import Mapping
from typing import TypeAlias

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from shoal.topology import Cluster
from shoal.topology.probe.asking import is_missing_file
from shoal.types import Alias

Key: TypeAlias = tuple[str, str]
"""App label and name of a migration."""
Records: TypeAlias = Mapping[Alias, frozenset[Key] | None]
"""By shard; `None` for one without the table that they would be in."""


def records(cluster: Cluster) -> Records:
    """Ask every shard."""
    return {shard.name: _of_shard(shard.name) for shard in cluster.shards}


def _of_shard(alias: Alias) -> frozenset[Key] | None:
    connection = connections[alias]
    if is_missing_file(connection):
        return None
    recorder = MigrationRecorder(connection)
    return frozenset(recorder.applied_migrations()) if recorder.has_table() else None


def applied(found: Records) -> frozenset[Key]:
    """Return what any shard has. Pure."""
    return frozenset().union(*(keys or () for keys in found.values()))


def lacking(found: Records) -> dict[Alias, frozenset[Key]]:
    """
    Return what each shard lacks that another one has. Pure.

    A shard that lacks nothing is left out; one that has only no table yet, where
    another one does, is there with nothing.
    """
    wanted = applied(found)
    has_begun = any(keys is not None for keys in found.values())
    return {
        alias: wanted - (keys or frozenset())
        for alias, keys in found.items()
        if (has_begun and keys is None) or wanted - (keys or frozenset())
    }
