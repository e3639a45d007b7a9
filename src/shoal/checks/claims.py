"""Takes the setting and the models, gives what is claimed and is not there."""

import functools
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import Error
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import CreateModel, RenameModel
from django.db.models import Model
from django.utils.module_loading import import_string

from shoal.checks.messages import Messages, has_table
from shoal.conf import get_conf, is_configured
from shoal.errors import did_you_mean
from shoal.placement import get_placement
from shoal.placement.models import OWN_APP
from shoal.topology import get_topology


def claims_known() -> Messages:
    models = {m._meta.label_lower for m in apps.get_models(include_auto_created=True)}
    for cluster in get_conf().clusters.values():
        where = f'SHOAL["CLUSTERS"][{cluster.name!r}]'
        for app in cluster.apps:
            if app not in apps.app_configs and app not in _UNREGISTERED:
                yield Error(
                    f'{where}["APPS"] names {app!r}, which is not an installed app.',
                    hint="It takes app labels. "
                    + did_you_mean(app.rpartition(".")[2], list(apps.app_configs)),
                    id="shoal.E009",
                )
        for label in cluster.models:
            if label not in models and label not in _once_models():
                yield Error(
                    f'{where}["MODELS"] names {label!r}, which is not a model.',
                    hint=did_you_mean(label, _near(label, models)),
                    id="shoal.E009",
                )


@functools.cache
def _once_models() -> frozenset[str]:
    """Return what migrations call models: a renamed one is claimed by both names."""
    found = set()
    for (app, _), migration in MigrationLoader(None).disk_migrations.items():
        for operation in migration.operations:
            if isinstance(operation, CreateModel):
                found.add(f"{app}.{operation.name_lower}")
            elif isinstance(operation, RenameModel):
                found.add(f"{app}.{operation.new_name_lower}")
    return frozenset(found)


_UNREGISTERED = {"django_cache", "migrations"}
"""Labels that Django routes by without an app: its database cache, its migrations."""


def _near(label: str, models: set[str]) -> list[str]:
    """Keep the hint short: the models of the same app, if there is such an app."""
    app = label.partition(".")[0]
    return [m for m in models if m.startswith(f"{app}.")] or list(models)


def default_needed() -> Messages:
    if is_configured(settings.DATABASES.get("default", {})):
        return
    if not get_topology().clusters:
        return
    placement = get_placement()
    homeless = [
        model._meta.label
        for model in apps.get_models()
        if has_table(model)
        and model._meta.managed
        and model._meta.app_label != OWN_APP
        and placement.cluster_of(model) is None
        and not _routed_by_others(model)
    ]
    if homeless:
        yield Error(
            f"No cluster claims {_listed(homeless)}, and DATABASES has no 'default' "
            "for it to live in.",
            hint="Add its app to the APPS of a cluster, or configure 'default'.",
            id="shoal.E008",
        )


def _routed_by_others(model: type[Model]) -> bool:
    """Say whether another router of the project takes the model in."""
    for path in settings.DATABASE_ROUTERS:
        router = import_string(path)() if isinstance(path, str) else path
        ask: Callable[..., Any] | None = getattr(router, "db_for_write", None)
        if ask is not None and ask(model) is not None:
            return True
    return False


def _listed(labels: list[str]) -> str:
    shown = ", ".join(labels[:5])
    return shown if len(labels) <= 5 else f"{shown} and {len(labels) - 5} more"
