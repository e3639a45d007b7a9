"""Takes the models of the project, gives what lives on which cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.apps import apps

from shoal.placement import get_placement
from shoal.types import ClusterName


@dataclass(frozen=True, kw_only=True)
class Residents:
    """What lives on one cluster."""

    apps: tuple[str, ...] = ()
    """Apps with all of their models there."""
    models: tuple[str, ...] = ()
    """Models of apps that have others elsewhere."""

    def __str__(self) -> str:
        return ", ".join([*self.apps, *self.models])


def residents() -> dict[ClusterName | None, Residents]:
    """Return what lives where; under `None` what Shoal was not told about."""
    placement = get_placement()
    homes: dict[str, dict[ClusterName | None, list[str]]] = {}
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy and not model._meta.swapped:
            home = placement.cluster_of(model)
            of_app = homes.setdefault(model._meta.app_label, {})
            of_app.setdefault(home, []).append(model._meta.label)
    return group(homes)


def group(
    homes: Mapping[str, Mapping[ClusterName | None, Sequence[str]]],
) -> dict[ClusterName | None, Residents]:
    """Name an app where it is whole, and its models where it is not. Pure."""
    whole: dict[ClusterName | None, list[str]] = {}
    parts: dict[ClusterName | None, list[str]] = {}
    for app, by_cluster in sorted(homes.items()):
        for cluster, models in by_cluster.items():
            if len(by_cluster) == 1:
                whole.setdefault(cluster, []).append(app)
            else:
                parts.setdefault(cluster, []).extend(sorted(models))
    return {
        cluster: Residents(
            apps=tuple(whole.get(cluster, ())), models=tuple(parts.get(cluster, ()))
        )
        for cluster in [*whole, *parts]
    }
