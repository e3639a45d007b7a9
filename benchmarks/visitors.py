"""
Takes a visitor and a request, gives the routing that each contender would give it.

A contender keeps what its visitor carries from request to request as it would in a
cookie or a session. All of them are asked through Django's router, one at a time.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import multidb
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from multidb.middleware import PinningRouterMiddleware, pinning_cookie

from shoal.routing import Router, export_token, with_token
from shoal.types import Alias

PRIMARY = "default"
REPLICAS = ("replica_1", "replica_2")


@dataclass(slots=True)
class Visitor:
    """One session."""

    key: int
    """The row that is its own."""
    written: int = 0
    """What it wrote last."""
    carried: str = ""
    """Its cookie."""
    until: float = 0.0
    """When the cookie ends, or when it wrote last, by the monotonic clock."""


class Contender(Protocol):
    name: str
    router: Any

    def request(
        self, visitor: Visitor, *, writes: bool
    ) -> contextlib.AbstractContextManager[None]:
        """Handle one request of this visitor, from its cookie to its cookie."""


class Shoal:
    """The unit of work and the token that `shoal.routing.Middleware` would carry."""

    name = "Shoal"

    def __init__(self) -> None:
        self.router = Router()

    @contextlib.contextmanager
    def request(self, visitor: Visitor, *, writes: bool) -> Iterator[None]:
        with with_token(visitor.carried):
            yield
            visitor.carried = export_token()


class Multidb:
    """django-multidb-router with its own middleware, which pins by a cookie."""

    def __init__(self, seconds: int) -> None:
        self.name = f"multidb, {seconds} s"
        self.router = multidb.PinningReplicaRouter()
        self._seconds = seconds
        self._middleware: Any = PinningRouterMiddleware(lambda request: HttpResponse())

    @contextlib.contextmanager
    def request(self, visitor: Visitor, *, writes: bool) -> Iterator[None]:
        request = HttpRequest()
        request.method = "POST" if writes else "GET"
        if time.monotonic() < visitor.until:
            request.COOKIES[pinning_cookie()] = visitor.carried
        self._middleware.process_request(request)
        yield
        settings.MULTIDB_PINNING_SECONDS = self._seconds
        response = self._middleware.process_response(request, HttpResponse())
        cookie = response.cookies.get(pinning_cookie())
        if cookie is not None:
            visitor.carried = cookie.value
            visitor.until = time.monotonic() + cookie["max-age"]


class _Replicas:
    """A router that reads from any replica, unless it is to read from the primary."""

    def __init__(self, draw: Callable[..., Alias]) -> None:
        self.on_primary = False
        self._draw = draw

    def db_for_read(self, model: type, **hints: Any) -> Alias:
        return PRIMARY if self.on_primary else self._draw(REPLICAS)

    def db_for_write(self, model: type, **hints: Any) -> Alias:
        return PRIMARY


class Rails:
    """
    The rule of Rails: for two seconds after its own write a session reads the primary.

    https://guides.rubyonrails.org/active_record_multiple_databases.html
    """

    name = "Rails' rule, 2 s"
    DELAY = 2.0

    def __init__(self, draw: Callable[..., Alias]) -> None:
        self.router = _Replicas(draw)

    @contextlib.contextmanager
    def request(self, visitor: Visitor, *, writes: bool) -> Iterator[None]:
        lately = time.monotonic() - visitor.until < self.DELAY
        self.router.on_primary = writes or lately
        yield
        if writes:
            visitor.until = time.monotonic()


class AnyReplica:
    """No rule at all."""

    name = "any replica"

    def __init__(self, draw: Callable[..., Alias]) -> None:
        self.router = _Replicas(draw)

    @contextlib.contextmanager
    def request(self, visitor: Visitor, *, writes: bool) -> Iterator[None]:
        yield


class Turns:
    """The router in `DATABASE_ROUTERS`: it asks the one whose turn it is."""

    router: Any = None

    def db_for_read(self, model: type, **hints: Any) -> Alias:
        return Turns.router.db_for_read(model, **hints)  # type: ignore[no-any-return]

    def db_for_write(self, model: type, **hints: Any) -> Alias:
        return Turns.router.db_for_write(model, **hints)  # type: ignore[no-any-return]


def contenders(seed: int) -> list[Contender]:
    """Return all of them, Shoal first."""
    draw = random.Random(f"replica {seed}").choice
    return [Shoal(), Multidb(15), Multidb(2), Rails(draw), AnyReplica(draw)]
