"""Takes the conf, gives the topology: which clusters there are, and their servers."""

from shoal.topology.clusters import (
    Cluster,
    Replica,
    Topology,
    cluster_named,
    get_topology,
)
from shoal.topology.positions import Position

__all__ = [
    "Cluster",
    "Position",
    "Replica",
    "Topology",
    "cluster_named",
    "get_topology",
]
