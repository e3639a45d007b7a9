"""Takes what this process's watch knows, gives metrics to Prometheus."""

import functools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as Base

from shoal.routing.health import Health, State, Watch, get_watch
from shoal.topology import get_topology
from shoal.topology.positions.notation import unit_of
from shoal.types import ClusterName

MET_WITHIN = 1.0
"""Seconds that a scrape waits for the first looks at the servers, all together."""
_SERVER = ("cluster", "alias", "listed_as")
_STATE = ("cluster", "alias", "state")
_REPLICA = ("cluster", "alias")


class Collector(Base):
    """
    The servers of clusters that have replicas, as this process sees them.

    A scrape keeps the watch looking. It waits for servers only where this process has
    not looked at them for a while.
    """

    def describe(self) -> Iterable[Metric]:
        """Return names alone, since registering must not ask any server."""
        return _families(())

    def collect(self) -> Iterable[Metric]:
        watch = get_watch()
        _meet(watch)
        return _families(_members(watch))


@functools.cache
def register() -> None:
    """Let the default registry have the servers; once, however often it is called."""
    REGISTRY.register(Collector())


@dataclass(frozen=True, slots=True)
class _Member:
    cluster: ClusterName
    listed_as: str
    health: Health

    @property
    def labels(self) -> list[str]:
        return [self.cluster, self.health.alias]


def _meet(watch: Watch) -> None:
    until = time.monotonic() + MET_WITHIN
    for edition in watch.editions.values():
        watch.meet(edition, within=max(until - time.monotonic(), 0.0))


def _members(watch: Watch) -> list[_Member]:
    found = []
    for alias, health in watch.health.items():
        cluster, edition = get_topology().by_alias[alias]
        listed_as = "primary" if alias == edition.primary else "replica"
        found.append(_Member(cluster.name, listed_as, health))
    return found


def _families(members: Sequence[_Member]) -> list[Metric]:
    return [*_states(members), *_lags(members)]


def _states(members: Sequence[_Member]) -> list[Metric]:
    up = GaugeMetricFamily(
        "shoal_server_up", "Whether the server answers.", labels=_SERVER
    )
    state = GaugeMetricFamily(
        "shoal_server_state", "1 for the state that the server is in.", labels=_STATE
    )
    latency = GaugeMetricFamily(
        "shoal_server_latency_seconds",
        "Time that the server takes for one look at it, smoothed.",
        labels=_SERVER,
    )
    for one in members:
        health = one.health
        for name in get_args(State):
            state.add_metric([*one.labels, name], health.state == name)
        if health.state != "unknown":
            up.add_metric([*one.labels, one.listed_as], health.answers)
        if health.answers:
            latency.add_metric([*one.labels, one.listed_as], health.latency)
    return [up, state, latency]


def _lags(members: Sequence[_Member]) -> list[Metric]:
    seconds = GaugeMetricFamily(
        "shoal_replica_lag_seconds",
        "How far the replica is behind its primary.",
        labels=_REPLICA,
    )
    behind = {
        unit: GaugeMetricFamily(
            f"shoal_replica_lag_{unit}",
            f"What the replica has yet to replay, in {unit} of the log.",
            labels=_REPLICA,
        )
        for unit in ("bytes", "transactions")
    }
    for one in members:
        health = one.health
        if one.listed_as == "primary" or not health.is_following:
            continue
        if health.lag is not None:
            seconds.add_metric(one.labels, health.lag)
        if health.behind is not None and health.position is not None:
            behind[unit_of(health.position)].add_metric(one.labels, health.behind)
    return [seconds, *behind.values()]
