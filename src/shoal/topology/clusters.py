"""Clusters and their members as frozen values. Takes a `Conf`; asks no server."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from shoal.conf import (
    ClusterConf,
    Conf,
    get_conf,
    until_settings_change,
)
from shoal.errors import UnknownCluster, UnknownRole, did_you_mean
from shoal.types import Alias, ClusterName, Consistency, Ids, Permission, Role


@dataclass(frozen=True, kw_only=True)
class Replica:
    alias: Alias
    weight: float


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """
    One logical database: a primary with its replicas and other editions, or shards.
    """

    name: ClusterName
    """The alias of the primary, or the sharded alias."""
    replicas: tuple[Replica, ...] = ()
    consistency: Consistency = "session"
    max_lag: float = 30.0
    """Seconds."""
    editions: Mapping[Role, "Cluster"] = field(default_factory=dict)
    """The other editions, by role: what `ROLES` lists besides this cluster itself."""
    role: Role | None = None
    """The role that this edition serves, where the cluster has roles."""
    request_role: Any = None
    two_phase: bool = True
    """Whether its servers may be asked to prepare a transaction."""
    shards: tuple["Cluster", ...] = ()
    """In order; the first is home."""
    ids: Ids = "bucketed"
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields of the key, by label of the model in lower case."""
    max_gather_rows: int = 0
    scatter: Permission = "allow"
    """Whether one query may ask several shards."""
    gather: Permission = "allow"
    """Whether the rows of a query may be brought together."""
    timeout: float | None = None
    """Seconds that one query has; `None`: as many as it takes."""

    @property
    def primary(self) -> Alias:
        return self.name

    @property
    def is_sharded(self) -> bool:
        return bool(self.shards)

    @property
    def home(self) -> "Cluster":
        """The shard that holds what is not sharded, and runs gathered queries."""
        return self.shards[0]

    @property
    def has_one_member(self) -> bool:
        """Whether every read and write goes to the primary, whatever the context."""
        return not self.replicas and not self.editions

    @property
    def all_editions(self) -> tuple["Cluster", ...]:
        """What holds data on servers of its own: the editions, or the shards."""
        return self.shards or (self, *self.editions.values())

    @property
    def aliases(self) -> tuple[Alias, ...]:
        """The primary, then its replicas."""
        return (self.primary, *(replica.alias for replica in self.replicas))

    def edition(self, role: Role) -> "Cluster":
        """Return the edition that serves `role`, or raise `UnknownRole`."""
        if role in self.editions:
            return self.editions[role]
        if role == self.role and role is not None:
            return self
        known = [edition.role for edition in self.all_editions if edition.role]
        raise UnknownRole(
            f"The cluster {self.name!r} has no edition with the role {role!r}.",
            hint=did_you_mean(str(role), known)
            if known
            else f'Add "ROLES" to SHOAL["CLUSTERS"][{self.name!r}].',
        )

    def edition_of_alias(self, alias: Alias | None) -> "Cluster | None":
        """Return the edition that has `alias` among its members."""
        if self.is_sharded and alias == self.name:
            return self
        for edition in self.all_editions:
            if alias in edition.aliases:
                return edition
        return None


@dataclass(frozen=True, kw_only=True)
class Topology:
    clusters: Mapping[ClusterName, Cluster]
    """The clusters that models are placed on. Editions hang below their cluster."""
    control: Alias | None = None
    """Which alias holds Shoal's own tables; `None` where no cluster needs them."""
    by_alias: Mapping[Alias, tuple[Cluster, Cluster]] = field(repr=False)
    """Each member alias with its cluster and the edition, or shard, of it."""
    has_replicas: bool = False
    """Whether any edition has."""

    @cached_property
    def has_several_databases(self) -> bool:
        """Whether a transaction can span two of them."""
        return len([*self.editions()]) > 1

    def editions(self) -> Iterator[Cluster]:
        """Every primary that holds data of its own, in the order of the setting."""
        for cluster in self.clusters.values():
            yield from cluster.all_editions

    def servers_behind(self, alias: Alias) -> tuple[Alias, ...]:
        """Return the primaries that hold what `alias` does: its shards, or itself."""
        cluster = self.clusters.get(alias)
        if cluster is None or not cluster.is_sharded:
            return (alias,)
        return tuple(shard.primary for shard in cluster.shards)

    def sharded_cluster_of(self, alias: Alias) -> Cluster | None:
        """Return the cluster that `alias` is a shard of; not for its sharded alias."""
        member = self.by_alias.get(alias)
        if member is None or not member[0].is_sharded or alias == member[0].name:
            return None
        return member[0]

    def primary_of_replica(self, alias: Alias) -> Alias | None:
        """Return the primary that the replica `alias` follows, `None` for others."""
        if alias in self.by_alias:
            edition = self.by_alias[alias][1]
            return edition.primary if alias != edition.primary else None
        return None


@until_settings_change
def get_topology() -> Topology:
    return build(get_conf())


def cluster_named(name: ClusterName) -> Cluster:
    """Return the cluster, or raise `UnknownCluster` with the nearest known name."""
    topology = get_topology()
    try:
        return topology.clusters[name]
    except KeyError:
        raise UnknownCluster(
            f"No cluster is named {name!r}.",
            hint=did_you_mean(str(name), list(topology.clusters)),
        ) from None


def build(conf: Conf) -> Topology:
    """Turn a checked conf into clusters. Pure."""
    hidden = {
        alias
        for cluster in conf.clusters.values()
        for alias in (*cluster.roles.values(), *cluster.shards)
        if alias != cluster.name
    }
    clusters = {
        name: _cluster(cluster, conf)
        for name, cluster in conf.clusters.items()
        if name not in hidden
    }
    by_alias = {
        alias: (cluster, edition)
        for cluster in clusters.values()
        for edition in cluster.all_editions
        for alias in edition.aliases
    }
    by_alias |= {c.name: (c, c) for c in clusters.values() if c.is_sharded}
    return Topology(
        clusters=MappingProxyType(clusters),
        control=conf.control,
        by_alias=MappingProxyType(by_alias),
        has_replicas=any(edition.replicas for _, edition in by_alias.values()),
    )


def _cluster(conf: ClusterConf, whole: Conf) -> Cluster:
    own_role = None
    editions = {}
    for role, alias in conf.roles.items():
        if alias == conf.name:
            own_role = role
        else:
            # An edition that the setting does not list has no replicas.
            edition = whole.clusters.get(alias, ClusterConf(name=alias))
            editions[role] = _edition(edition, role)
    return _edition(
        conf,
        own_role,
        editions=MappingProxyType(editions),
        request_role=conf.request_role,
        shards=tuple(_shard(alias, conf, whole) for alias in conf.shards),
        ids=conf.ids,
        keys=conf.keys,
        max_gather_rows=conf.max_gather_rows,
        scatter=conf.scatter,
        gather=conf.gather,
        timeout=conf.timeout,
    )


def _shard(alias: Alias, conf: ClusterConf, whole: Conf) -> Cluster:
    """Return a shard; one that the setting does not list has no replicas."""
    shard = whole.clusters.get(alias)
    if shard is None:
        shard = ClusterConf(
            name=alias, consistency=conf.consistency, max_lag=conf.max_lag
        )
    return _edition(replace(shard, two_phase=conf.two_phase and shard.two_phase), None)


def _edition(conf: ClusterConf, role: Role | None, **more: Any) -> Cluster:
    return Cluster(
        name=conf.name,
        replicas=tuple(Replica(alias=r.alias, weight=r.weight) for r in conf.replicas),
        consistency=conf.consistency,
        max_lag=conf.max_lag,
        two_phase=conf.two_phase,
        role=role,
        **more,
    )
