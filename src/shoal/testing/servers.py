"""Asks the server itself who it is, so that a test need not trust the router."""

from django.db import connections, router
from django.db.models import Model, QuerySet

from shoal.conf import is_configured
from shoal.errors import UnknownCluster, did_you_mean
from shoal.routing import members
from shoal.topology import get_topology
from shoal.topology.identity import server_name
from shoal.types import Alias


def served_by(what: type[Model] | QuerySet[Model] | Alias | None = None) -> str:
    """
    Return the name of the server that would serve a read right now, as it says itself.

    Takes a model or a queryset (routed as one), the name of a cluster (routed as its
    models are), any other alias, or nothing: the cluster `default`, or the only one.
    """
    return server_name(connections[_alias(what)])


def _alias(what: type[Model] | QuerySet[Model] | Alias | None) -> Alias:
    if isinstance(what, QuerySet):
        return what.db
    if isinstance(what, type):
        return router.db_for_read(what)
    topology = get_topology()
    name = _only_cluster() if what is None else what
    if name in topology.by_alias and topology.primary_of_replica(name) is None:
        return members.for_read(topology.by_alias[name][1])
    return name


def _only_cluster() -> Alias:
    names = list(get_topology().clusters)
    if "default" in names or is_configured(connections.settings["default"]):
        return "default"
    if len(names) == 1:
        return names[0]
    raise UnknownCluster(
        "served_by() was not told which cluster, and there is no 'default'.",
        hint=f"Pass a model or a cluster. {did_you_mean('default', names)}",
    )
