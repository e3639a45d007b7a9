"""
Takes a request, makes it one unit of work, in the roles and behind the token it asks
for; gives the response the token of what was written.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.signals import request_finished, request_started
from django.http import HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse

from shoal.routing import carrying, retrying
from shoal.routing.context import Context, current, set_current
from shoal.routing.request_roles import aroles_of, roles_of
from shoal.routing.requests import begin_request, end_request, unit_of
from shoal.routing.scopes import roles

Response: TypeAlias = HttpResponseBase
GetResponse: TypeAlias = Callable[[HttpRequest], Response | Awaitable[Response]]


class Middleware:
    """
    Put `"shoal.routing.Middleware"` into `MIDDLEWARE`, anywhere.

    Each request is a unit of work: one replica serves its reads, and after a write the
    visitor carries a token (a cookie, or a header for clients of an API) so that the
    next request reads from who has that write. A GET or HEAD that fails because a
    replica died under it is answered once more.

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
        # What other middleware reads and writes around this one belongs to the
        # request as well: the session, above all.
        request_started.connect(begin_request, dispatch_uid="shoal.begin_request")
        request_finished.connect(end_request, dispatch_uid="shoal.end_request")

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        if self.is_async:
            return self.__acall__(request)
        with unit_of(request) as unit:
            carrying.receive(request, unit)
            with roles(roles_of(request)):
                response = self.get_response(request)
                if retrying.is_wanted(request):
                    retrying.prepare(request, unit)
                    response = self.get_response(request)
                carrying.send(request, response, unit)
                return _keep_context(response)

    async def __acall__(self, request: HttpRequest) -> Response:
        with unit_of(request) as unit:
            await sync_to_async(carrying.receive)(request, unit)
            with roles(await aroles_of(request)):
                response = await self.get_response(request)
                if retrying.is_wanted(request):
                    await sync_to_async(retrying.prepare)(request, unit)
                    response = await self.get_response(request)
                await sync_to_async(carrying.send)(request, response, unit)
                return _keep_context(response)

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> Response | None:
        """Let a safe request be answered once more if a replica died under it."""
        return retrying.consider(request, error)


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
