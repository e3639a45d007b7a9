"""Takes choices of members as they are made, counts them."""

import functools
from typing import Any

from prometheus_client import Counter

from shoal.conf import on_settings_change
from shoal.routing import Choice
from shoal.topology import Cluster, get_topology
from shoal.types import ClusterName

CHOICES = Counter(
    "shoal_choices",
    "Units of work that began to read from this alias, by the reason.",
    ["cluster", "alias", "reason"],
)


def count(edition: Cluster, choice: Choice) -> None:
    """Listen to choices."""
    _counter(edition.name, choice).inc()


@functools.cache
def _counter(edition: ClusterName, choice: Choice) -> Any:
    cluster, _ = get_topology().by_alias[edition]
    return CHOICES.labels(cluster.name, choice.alias, choice.reason)


on_settings_change(_counter.cache_clear)
