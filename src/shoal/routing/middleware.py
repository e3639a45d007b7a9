"""Takes a request, makes it one unit of work in the roles that it asks for."""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.module_loading import import_string

from shoal.errors import SettingsError
from shoal.routing.context import Context, current, set_current, unit_of_work
from shoal.routing.scopes import roles
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import ClusterName, Role

Response: TypeAlias = HttpResponseBase
GetResponse: TypeAlias = Callable[[HttpRequest], Response | Awaitable[Response]]


class Middleware:
    """
    Put `"shoal.routing.Middleware"` into `MIDDLEWARE`.

    A cluster with `REQUEST_ROLE` asks that function (sync or async) for the role of
    each request; `None` stands for the cluster's own edition. Where the function
    reads `request.user`, this middleware comes after Django's for authentication.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response: Any = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        if self.is_async:
            return self.__acall__(request)
        with _nothing_left_behind(), unit_of_work(), roles(roles_of(request)):
            return _keep_context(self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> Response:
        with _nothing_left_behind(), unit_of_work(), roles(await aroles_of(request)):
            return _keep_context(await self.get_response(request))


@contextlib.contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """End every scope that a view has entered and not left, for the thread goes on."""
    before = current()
    try:
        yield
    finally:
        set_current(before)


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


def _keep_context(response: Response) -> Response:
    """Let a streamed body, which runs after the middleware, see this unit of work."""
    # A file is left alone: it asks no database, and servers have a fast way for it.
    is_file = getattr(response, "file_to_stream", None) is not None
    if isinstance(response, StreamingHttpResponse) and not is_file:
        content: Any = response.streaming_content
        if inspect.isasyncgen(content) or hasattr(content, "__aiter__"):
            response.streaming_content = _aiterate(content, current())
        else:
            response.streaming_content = _iterate(content, current())
    return response


def _iterate(content: Iterator[Any], context: Context) -> Iterator[Any]:
    iterator = iter(content)
    while True:
        outside = current()
        set_current(context)
        try:
            part = next(iterator)
        except StopIteration:
            return
        finally:
            context = current()
            set_current(outside)
        yield part


async def _aiterate(
    content: AsyncIterator[Any], context: Context
) -> AsyncIterator[Any]:
    iterator = aiter(content)
    while True:
        outside = current()
        set_current(context)
        try:
            part = await anext(iterator)
        except StopAsyncIteration:
            return
        finally:
            context = current()
            set_current(outside)
        yield part
