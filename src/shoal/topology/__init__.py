"""Takes the conf, gives the topology: which clusters there are, and their servers."""

from shoal.topology.clusters import (
    Cluster,
    Replica,
    Topology,
    cluster_named,
    get_topology,
)

__all__ = ["Cluster", "Replica", "Topology", "cluster_named", "get_topology"]
