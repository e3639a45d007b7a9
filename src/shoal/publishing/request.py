"""Takes what a caller gave, gives a checked request; asks no server but for keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models import Manager, Model, QuerySet
from django.db.models.query import ModelIterable

from shoal.errors import PublishError
from shoal.placement import get_placement
from shoal.publishing.include import Tree, check, tree_of
from shoal.publishing.tables import (
    Key,
    ModelClass,
    concrete,
    is_own_to_each_edition,
    named,
)
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import ClusterName, Role

Objects: TypeAlias = "QuerySet[Any] | Model | Iterable[Model]"


@dataclass(frozen=True, kw_only=True)
class Request:
    cluster: ClusterName
    source: Cluster
    to: Cluster
    instances: Mapping[ModelClass, tuple[Key, ...]]
    queryset: "QuerySet[Any] | None" = None
    """Not evaluated yet: it is, in the source's snapshot."""
    include: Tree

    @property
    def models(self) -> tuple[ModelClass, ...]:
        if self.queryset is not None:
            return (concrete(self.queryset.model),)
        return tuple(self.instances)

    def keys(self) -> Mapping[ModelClass, tuple[Key, ...]]:
        """Return the keys asked for, and for a queryset ask for them."""
        if self.queryset is None:
            return self.instances
        found = tuple(dict.fromkeys(self.queryset.values_list("pk", flat=True)))
        return {concrete(self.queryset.model): found}


def request_for(
    objects: Objects,
    *,
    source: Role,
    to: Role,
    include: Iterable[str] = (),
    cluster: ClusterName | None = None,
) -> Request | None:
    """Check everything that needs no server. `None` if there is nothing to do."""
    tree = tree_of(include)
    queryset = objects if isinstance(objects, QuerySet) else None
    instances = {} if queryset is not None else _by_model(objects)
    models = [concrete(queryset.model)] if queryset is not None else list(instances)
    if not models:
        if cluster is not None:
            _editions(cluster_named(cluster), source, to)
        return None
    home = _cluster_of(models, cluster)
    editions = _editions(home, source, to)
    check(tree, models, home.name)
    if queryset is not None:
        queryset = _at(queryset, home, editions[0])
    return Request(
        cluster=home.name,
        source=editions[0],
        to=editions[1],
        instances=instances,
        queryset=queryset,
        include=tree,
    )


def _by_model(objects: Any) -> dict[ModelClass, tuple[Key, ...]]:
    if isinstance(objects, Manager):
        raise PublishError(
            "A manager was given, not objects.", hint="Add .all(), or a filter."
        )
    if isinstance(objects, Model):
        objects = [objects]
    if isinstance(objects, type | str) or not isinstance(objects, Iterable):
        raise PublishError(
            f"{objects!r} was given, which is no object of a model.",
            hint="Give a queryset, an object, or an iterable of objects.",
        )
    found: dict[ModelClass, dict[Key, None]] = {}
    for item in objects:
        _check_instance(item)
        key = item._meta.pk.to_python(item.pk)
        found.setdefault(concrete(type(item)), {})[key] = None
    return {model: tuple(keys) for model, keys in found.items()}


def _check_instance(item: Any) -> None:
    if not isinstance(item, Model):
        raise PublishError(
            f"{item!r} was given, which is no object of a model.",
            hint="Give a queryset, an object, or an iterable of objects.",
        )
    if item.pk is None or item._state.adding:
        raise PublishError(
            f"An object of {item._meta.label} was given that is not saved.",
            hint="Save it first: what is copied is what the server has.",
        )


def _cluster_of(models: list[ModelClass], named_one: ClusterName | None) -> Cluster:
    placement = get_placement()
    homes = {model: placement.cluster_of(model) for model in models}
    for model, name in homes.items():
        if is_own_to_each_edition(model):
            raise PublishError(
                f"{model._meta.label} can't be published: each database makes these "
                "rows for itself when it is migrated.",
                hint="Run `manage.py shoal migrate`.",
            )
        if name is None or not get_topology().clusters[name].editions:
            where = (
                f"the cluster {name!r}, which has no ROLES" if name else "no cluster"
            )
            raise PublishError(
                f"{model._meta.label} can't be published: it lives on {where}.",
                hint='Give its cluster "ROLES": {"public": "site", "draft": '
                '"site_draft"}.',
            )
    first, *others = dict.fromkeys(homes.values())
    if others or (named_one is not None and named_one != first):
        listed = ", ".join(f"{m._meta.label} on {name!r}" for m, name in homes.items())
        asked = f", but the cluster {named_one!r} was asked for" if named_one else ""
        raise PublishError(
            f"Objects of one cluster are published at a time: {listed}{asked}.",
            hint="Publish the objects of each cluster by themselves.",
        )
    return cluster_named(str(first))


def _editions(cluster: Cluster, source: Role, to: Role) -> tuple[Cluster, Cluster]:
    found = cluster.edition(source), cluster.edition(to)
    if found[0] is found[1]:
        raise PublishError(
            f"Both source and to are the role {source!r} of {cluster.name!r}.",
            hint="Name two editions.",
        )
    return found


def _at(queryset: Any, cluster: Cluster, source: Cluster) -> Any:
    """Ask the source for the keys, unless the queryset says `using` another edition."""
    if not issubclass(queryset._iterable_class, ModelIterable):
        raise PublishError(
            "The queryset gives values, not objects.",
            hint="Leave out .values(), .values_list() and the like.",
        )
    alias = queryset._db
    if alias is None:
        return queryset.using(source.primary)
    if cluster.edition_of_alias(alias) is None:
        raise PublishError(
            f"The queryset says using({alias!r}), which is no edition of the cluster "
            f"{cluster.name!r}.",
            hint=f"Leave out using(): it is asked on {source.primary!r} then.",
        )
    return queryset


def check_found(
    request: Request, asked: Mapping[ModelClass, Iterable[Key]], found: Any
) -> None:
    """Raise for objects that the source does not have."""
    for model, keys in asked.items():
        missing = [key for key in keys if key not in found.get(model, ())]
        if missing:
            verb = "does" if len(missing) == 1 else "do"
            raise PublishError(
                f"{named(model, missing)} {verb} not exist in the edition "
                f"{request.source.role!r} ({request.source.primary!r}).",
                hint=f"To remove from {request.to.role!r} what was deleted in "
                f"{request.source.role!r}, unpublish it.",
            )
