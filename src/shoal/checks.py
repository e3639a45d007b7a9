"""
Takes the setting, the topology and the models, gives Django's check messages.

Ids are stable. Each has a heading in the reference of the checks. The checks that ask
a server run only where Django names databases: `manage.py check --database default`,
`migrate` and `manage.py shoal check`.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import CreateModel, RenameModel
from django.db.models import DO_NOTHING, Model
from django.utils.module_loading import import_string

from shoal.conf import get_conf, is_configured, read_settings
from shoal.errors import SettingsError, did_you_mean
from shoal.placement import get_placement
from shoal.placement.models import OWN_APP, has_constraint
from shoal.routing import Middleware, Router
from shoal.routing.request_roles import load_hook
from shoal.topology import get_topology

Messages = Iterator[CheckMessage]


@register("shoal")
def check_setting(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001, E002, E006, E007, E008: the SHOAL setting, then all that stands on it."""
    _, problems = read_settings()
    if problems:
        return [Error(p.message, hint=p.hint, id=p.id) for p in problems]
    found: list[CheckMessage] = []
    for check in (
        _claims_known,
        _default_needed,
        _router_installed,
        _middleware_installed,
        _one_server_each,
        _atomic_requests,
    ):
        found.extend(check())
    return found


@register(Tags.models, "shoal")
def check_relations(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """E003, E004, E005, E020: relations that no database can hold."""
    if read_settings()[1] or not get_conf().clusters:
        return []
    found: list[CheckMessage] = []
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        for model in config.get_models():
            if _has_table(model):
                found.extend(_relations_of(model))
    return found


def _has_table(model: type[Model]) -> bool:
    meta = model._meta
    return not (meta.proxy or meta.swapped)


def _claims_known() -> Messages:
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


def _default_needed() -> Messages:
    if is_configured(settings.DATABASES.get("default", {})):
        return
    if not get_topology().clusters:
        return
    placement = get_placement()
    homeless = [
        model._meta.label
        for model in apps.get_models()
        if _has_table(model)
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


def _has_something_to_route() -> bool:
    """Say whether Django's own way, everything to `default`, would be wrong."""
    clusters = get_conf().clusters
    if any(c.apps or c.models for c in clusters.values() if c.name != "default"):
        return True
    default = get_topology().clusters.get("default")
    return bool(clusters) and (default is None or not default.has_one_member)


def _router_installed() -> Messages:
    if not _has_something_to_route():
        return
    routers = [
        import_string(path) if isinstance(path, str) else type(path)
        for path in settings.DATABASE_ROUTERS
    ]
    if not any(issubclass(router, Router) for router in routers):
        yield Error(
            "SHOAL describes clusters, but no router of Shoal is installed, so every "
            "query goes to 'default'.",
            hint='Set DATABASE_ROUTERS = ["shoal.routing.Router"].',
            id="shoal.E010",
        )


def _middleware_installed() -> Messages:
    clusters = get_topology().clusters.values()
    hooks = [cluster for cluster in clusters if cluster.request_role is not None]
    for cluster in hooks:
        try:
            load_hook(cluster)
        except SettingsError as error:
            yield Error(error.message, hint=error.hint, id="shoal.E001")
    installed = any(
        isinstance(middleware, type) and issubclass(middleware, Middleware)
        for middleware in _importable(settings.MIDDLEWARE)
    )
    if installed:
        return
    for cluster in hooks:
        yield Error(
            f"Cluster {cluster.name!r} has REQUEST_ROLE, but nothing asks it: Shoal's "
            "middleware is not installed.",
            hint='Add "shoal.routing.Middleware" to MIDDLEWARE.',
            id="shoal.E011",
        )
    for cluster in clusters:
        served = [edition for edition in cluster.all_editions if edition.replicas]
        if served:
            missed = (
                "nothing carries a visitor's writes to their next request"
                if any(edition.consistency == "session" for edition in served)
                else "a request does not begin a unit of work"
            )
            yield Warning(
                f"Cluster {cluster.name!r} has replicas, but Shoal's middleware is "
                f"not installed, so {missed}.",
                hint='Add "shoal.routing.Middleware" to MIDDLEWARE.',
                id="shoal.W001",
            )


def _one_server_each() -> Messages:
    """W005: who is asked how far it has come has to be who is read."""
    for edition in get_topology().editions():
        for replica in edition.replicas:
            host = str(settings.DATABASES[replica.alias].get("HOST") or "")
            if "," in host:
                yield Warning(
                    f"The replica {replica.alias!r} of {edition.name!r} has the HOST "
                    f"{host!r}, which is several servers: one may be asked how far it "
                    "is, and another be read.",
                    hint="Give each server an alias of its own, and list all of them "
                    "in REPLICAS.",
                    id="shoal.W005",
                )


def _importable(paths: Sequence[str]) -> Iterator[Any]:
    """Import what can be imported; Django says what is wrong with the rest."""
    for path in paths:
        with contextlib.suppress(ImportError):
            yield import_string(path)


def _atomic_requests() -> Messages:
    topology = get_topology()
    for alias, database in settings.DATABASES.items():
        if not database.get("ATOMIC_REQUESTS"):
            continue
        primary = topology.primary_of_replica(alias)
        cluster = topology.by_alias.get(alias)
        if primary is not None:
            yield Error(
                f"ATOMIC_REQUESTS is on for {alias!r}, which is a replica of "
                f"{primary!r}.",
                hint="Each request would open a transaction there that can write "
                "nothing. Set it on the primary, if at all.",
                id="shoal.E012",
            )
        elif cluster is not None and cluster[1].replicas:
            yield Warning(
                f"ATOMIC_REQUESTS is on for {alias!r}, so its replicas never serve a "
                "request: reads inside a transaction go to the primary.",
                hint="Turn it off and use atomic() where it matters.",
                id="shoal.W002",
            )
        elif alias != "default" and cluster is not None:
            yield Warning(
                f"ATOMIC_REQUESTS is on for {alias!r}: every request opens a "
                "transaction there, needed or not, and commits it apart from those "
                "on other clusters.",
                hint=f"Turn it off and use atomic(using={alias!r}) where it matters.",
                id="shoal.W003",
            )
    yield from _atomic_elsewhere()


def _atomic_elsewhere() -> Messages:
    """W004: `ATOMIC_REQUESTS` on `default` alone covers no other cluster."""
    default = settings.DATABASES.get("default", {})
    if not default.get("ATOMIC_REQUESTS"):
        return
    uncovered = [
        name
        for name, cluster in get_conf().clusters.items()
        if name != "default"
        and (cluster.apps or cluster.models)
        and not settings.DATABASES[name].get("ATOMIC_REQUESTS")
    ]
    if uncovered:
        yield Warning(
            "ATOMIC_REQUESTS is on for 'default' only; a failing request does not "
            f"roll back what it wrote on {', '.join(map(repr, uncovered))}.",
            hint="Use atomic(using=...) in the views that write there.",
            id="shoal.W004",
        )


def _relations_of(model: type[Model]) -> Messages:
    home = get_placement().cluster_of(model)
    for field in model._meta.local_fields:
        target = _target(field)
        if target is not None and get_placement().cluster_of(target) != home:
            yield from _foreign_key_across(model, field, target, home)
    for many in model._meta.local_many_to_many:
        target = _target(many)
        if target is not None:
            yield from _many_to_many_across(model, many, target, home)
    for private in model._meta.private_fields:
        yield from _generic_across(model, private, home)


def _target(field: Any) -> type[Model] | None:
    target = field.remote_field.model if field.remote_field else None
    return target if isinstance(target, type) else None


def _where(name: str | None) -> str:
    return f"cluster {name!r}" if name else "no cluster of Shoal"


def _foreign_key_across(
    model: type[Model], field: Any, target: type[Model], home: str | None
) -> Messages:
    there = _where(get_placement().cluster_of(target))
    if has_constraint(field):
        yield Error(
            f"{model._meta.label}.{field.name} is a foreign key with a database "
            f"constraint, from {_where(home)} to {target._meta.label} on {there}.",
            hint="Set db_constraint=False and on_delete=models.DO_NOTHING, or place "
            "both models on one cluster.",
            obj=field,
            id="shoal.E003",
        )
    elif field.remote_field.on_delete is not DO_NOTHING:
        yield Error(
            f"{model._meta.label}.{field.name} follows the deletion of "
            f"{target._meta.label} on {there}, but Django would look for its rows "
            f"there and not on {_where(home)}.",
            hint="Set on_delete=models.DO_NOTHING, and do what is to be done in a "
            "receiver of post_delete.",
            obj=field,
            id="shoal.E020",
        )


def _many_to_many_across(
    model: type[Model], field: Any, target: type[Model], home: str | None
) -> Messages:
    placement = get_placement()
    through = field.remote_field.through
    homes = {home, placement.cluster_of(target), placement.cluster_of(through)}
    if len(homes) > 1:
        yield Error(
            f"{model._meta.label}.{field.name} is a many-to-many field from "
            f"{_where(home)} to {target._meta.label} on "
            f"{_where(placement.cluster_of(target))}; its link rows live on "
            f"{_where(placement.cluster_of(through))}.",
            hint="Place all three on one cluster, or declare a model of your own with "
            "two foreign keys, the one across with db_constraint=False.",
            obj=field,
            id="shoal.E004",
        )


def _generic_across(model: type[Model], field: Any, home: str | None) -> Messages:
    # By their attributes: contenttypes cannot be imported where it is not installed.
    placement = get_placement()
    if hasattr(field, "object_id_field_name"):
        target = _target(field)
        if target is not None and placement.cluster_of(target) != home:
            yield Error(
                f"{model._meta.label}.{field.name} is a generic relation from "
                f"{_where(home)} to {target._meta.label} on "
                f"{_where(placement.cluster_of(target))}.",
                hint="Queries and deletes through it would be sent to one server "
                "only. Place both on one cluster, or query the other model yourself.",
                obj=field,
                id="shoal.E005",
            )
    elif hasattr(field, "ct_field"):
        types = _target(model._meta.get_field(field.ct_field))
        if types is not None and placement.cluster_of(types) != home:
            yield Error(
                f"{model._meta.label}.{field.name} is a generic foreign key on "
                f"{_where(home)}, but content types live on "
                f"{_where(placement.cluster_of(types))}.",
                hint="Django looks for the content type on the server of the row, so "
                "the field can be neither set nor read. Place both on one cluster, or "
                "store the label and the key of what is meant in fields of your own.",
                obj=field,
                id="shoal.E005",
            )
