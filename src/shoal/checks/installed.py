"""Takes the settings, gives what of Shoal has to be installed and is not."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning
from django.utils.module_loading import import_string

from shoal.checks.messages import Messages
from shoal.conf import get_conf
from shoal.errors import SettingsError
from shoal.routing import Middleware, Router
from shoal.routing.request_roles import load_hook
from shoal.topology import get_topology


def _has_something_to_route() -> bool:
    """Say whether Django's own way, everything to `default`, would be wrong."""
    clusters = get_conf().clusters
    if any(c.apps or c.models for c in clusters.values() if c.name != "default"):
        return True
    default = get_topology().clusters.get("default")
    return bool(clusters) and (default is None or not default.has_one_member)


def router_installed() -> Messages:
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


def middleware_installed() -> Messages:
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


def _importable(paths: Sequence[str]) -> Iterator[Any]:
    """Import what can be imported; Django says what is wrong with the rest."""
    for path in paths:
        with contextlib.suppress(ImportError):
            yield import_string(path)
