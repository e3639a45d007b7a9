"""
The database router. Takes a model and hints, gives an alias; does no I/O.

Answers `None` for what Shoal was not told about, so that other routers can follow.
"""

from typing import Any

from django.apps import apps
from django.db.models import Model

from shoal.conf import on_settings_change
from shoal.placement import get_placement, unconstrained
from shoal.placement.models import OWN_APP
from shoal.routing import members
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import Alias, ClusterName

_routes: dict[type[Model], Alias | Cluster | None] = {}
"""A fixed alias, or the cluster that has to choose, or `None`: not ours."""
on_settings_change(_routes.clear)


class Router:
    """Put `"shoal.routing.Router"` first in `DATABASE_ROUTERS`."""

    def db_for_read(self, model: type[Model], **hints: Any) -> Alias | None:
        try:
            route = _routes[model]
        except KeyError:
            route = _learn(model)
        if route.__class__ is Cluster:
            return members.for_read(route, hints.get("instance"))
        return route  # type: ignore[return-value]

    def db_for_write(self, model: type[Model], **hints: Any) -> Alias | None:
        try:
            route = _routes[model]
        except KeyError:
            route = _learn(model)
        if route.__class__ is Cluster:
            return members.for_write(route, hints.get("instance"))
        return route  # type: ignore[return-value]

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """
        Allow a relation within one edition of one cluster.

        Across clusters only where the models are related without a constraint that
        a database would have to check.
        """
        placement = get_placement()
        # Not type(): `request.user` is a lazy object that stands for a model's.
        models = one._meta.model, other._meta.model
        clusters = placement.cluster_of(models[0]), placement.cluster_of(models[1])
        if clusters[0] != clusters[1]:
            if unconstrained(*models):
                return True
            return None if None in clusters else False
        if clusters[0] is None:
            return None
        return _share_edition(clusters[0], one._state.db, other._state.db)

    def allow_migrate(
        self, db: Alias, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        """
        Allow a table on every edition's primary of its model's cluster, nowhere else.

        An operation without a model (`RunPython`, `RunSQL`) runs wherever its app has
        models, or on one cluster if it says `hints={"cluster": name}`.
        """
        topology = get_topology()
        if app_label == OWN_APP:
            return _holds_own_tables(db)
        homes = _homes(app_label, model_name, hints)
        member = topology.by_alias.get(db)
        if member is None:
            return None if None in homes else False
        cluster, edition = member
        return cluster.name in homes and db == edition.primary


def _holds_own_tables(db: Alias) -> bool:
    """Say whether this is the control database, or shards that it is one of."""
    topology = get_topology()
    if topology.control is None or db == topology.control:
        return topology.control is not None
    cluster = topology.by_alias.get(topology.control)
    return cluster is not None and cluster[0].is_sharded and db == cluster[0].name


def _learn(model: type[Model]) -> Alias | Cluster | None:
    """Work the route out once; a model of a migration's past is not remembered."""
    name = get_placement().cluster_of(model)
    route: Alias | Cluster | None = None
    if name is not None:
        cluster = get_topology().clusters[name]
        route = cluster.primary if cluster.has_one_member else cluster
    if getattr(model._meta, "apps", None) is apps:
        _routes[model] = route
    return route


def _homes(
    app_label: str, model_name: str | None, hints: dict[str, Any]
) -> frozenset[ClusterName | None]:
    placement = get_placement()
    if "cluster" in hints:
        return frozenset({cluster_named(hints["cluster"]).name})
    if hints.get("model") is not None:
        return frozenset({placement.cluster_of(hints["model"])})
    if model_name is not None:
        return frozenset({placement.cluster_of_label(app_label, model_name)})
    return placement.clusters_of_app(app_label)


def _share_edition(name: ClusterName, one: Alias | None, other: Alias | None) -> bool:
    cluster = get_topology().clusters[name]
    if cluster.is_sharded:
        return True
    editions = cluster.edition_of_alias(one), cluster.edition_of_alias(other)
    return None in editions or editions[0] is editions[1]
