"""Takes the names of clusters, gives the aliases that a unit of work is on."""

from django.db import DEFAULT_DB_ALIAS, connections

from shoal.conf import until_settings_change
from shoal.errors import UnknownCluster, did_you_mean
from shoal.topology import get_topology
from shoal.transactions.reaching import written_aliases
from shoal.types import Alias, ClusterName


def aliases_of(clusters: tuple[ClusterName, ...]) -> tuple[Alias, ...]:
    """Return the aliases to be written at: sharded ones for their shards."""
    kept = _kept()
    for name in clusters:
        if not isinstance(name, str):
            raise TypeError(f"atomic() takes the names of clusters, not {name!r}.")
    if clusters not in kept:
        kept[clusters] = _found(clusters)
    return kept[clusters]


@until_settings_change
def _kept() -> dict[tuple[ClusterName, ...], tuple[Alias, ...]]:
    return {}


def _found(clusters: tuple[ClusterName, ...]) -> tuple[Alias, ...]:
    topology = get_topology()
    names = clusters or tuple(topology.clusters) or (DEFAULT_DB_ALIAS,)
    found = dict.fromkeys(alias for name in names for alias in _aliases_of(name))
    sharded = {alias: topology.sharded_cluster_of(alias) for alias in found}
    return tuple(
        alias
        for alias, whole in sharded.items()
        if whole is None or whole.name not in found
    )


def _aliases_of(name: ClusterName) -> tuple[Alias, ...]:
    topology = get_topology()
    cluster = topology.clusters.get(name)
    if cluster is not None:
        editions = cluster.all_editions
        return (name,) if cluster.is_sharded else tuple(e.primary for e in editions)
    primary = topology.primary_of_replica(name)
    if primary is not None:
        raise UnknownCluster(
            f"{name!r} is a replica, on which nothing is written.",
            hint=f"Name its primary, {primary!r}.",
        )
    if name in topology.by_alias or name in written_aliases():
        return (name,)
    if name in connections.settings and topology.clusters:
        raise UnknownCluster(
            f'The alias {name!r} is in DATABASES, and SHOAL["CLUSTERS"] does not list '
            "it, so no crash would be recovered there.",
            hint=f"Add {name!r}: {{}} to the clusters.",
        )
    raise UnknownCluster(
        f"No cluster is named {name!r}.",
        hint=did_you_mean(name, list(topology.clusters) or written_aliases()),
    )
