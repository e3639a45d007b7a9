"""Takes a request, gives the role of each cluster that has a `REQUEST_ROLE`."""

from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from shoal.errors import SettingsError
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import ClusterName, Role


def roles_of(request: HttpRequest) -> dict[ClusterName, Role]:
    """Ask every cluster's `REQUEST_ROLE` for the role of this request."""
    found = {}
    for cluster, hook in _hooks():
        if iscoroutinefunction(hook):
            raise SettingsError(
                f"REQUEST_ROLE of cluster {cluster.name!r} is an async function, but "
                "this request is served synchronously.",
                hint="Give a plain function, or serve the site through ASGI with "
                "async middleware only.",
            )
        found[cluster.name] = hook(request)
    return _given(found)


async def aroles_of(request: HttpRequest) -> dict[ClusterName, Role]:
    """Ask as `roles_of`; a sync function runs in Django's thread for such code."""
    found = {}
    for cluster, hook in _hooks():
        if iscoroutinefunction(hook):
            found[cluster.name] = await hook(request)
        else:
            found[cluster.name] = await sync_to_async(hook)(request)
    return _given(found)


def _given(found: dict[ClusterName, Role | None]) -> dict[ClusterName, Role]:
    """Let `None` stand for the cluster's own edition, whatever the caller's role is."""
    own = {name: cluster_named(name).role for name in found}
    roles = {
        name: role if role is not None else own[name] for name, role in found.items()
    }
    return {name: role for name, role in roles.items() if role is not None}


def _hooks() -> Iterator[tuple[Cluster, Callable[[HttpRequest], Any]]]:
    for cluster in get_topology().clusters.values():
        if cluster.request_role is not None:
            yield cluster, load_hook(cluster)


def load_hook(cluster: Cluster) -> Callable[[HttpRequest], Any]:
    """Import a cluster's `REQUEST_ROLE`, or raise `SettingsError`."""
    hook = cluster.request_role
    if isinstance(hook, str):
        try:
            hook = import_string(hook)
        except (ImportError, ImproperlyConfigured) as error:
            raise SettingsError(
                f"REQUEST_ROLE of cluster {cluster.name!r} is {hook!r}, which cannot "
                f"be imported: {error}.",
                hint="Give the dotted path of a function request -> role.",
            ) from error
    return hook  # type: ignore[no-any-return]
