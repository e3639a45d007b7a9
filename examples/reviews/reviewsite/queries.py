"""Takes a request, gives its page with a panel: which server answered which query.

Django hands every query of a connection to the connection's execute wrappers, so the
panel sees raw SQL, sessions and the admin too. The server is asked for its own name
once per connection; a recorded query costs no query.
"""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from shoal.topology import get_topology

PLACE = b"<!-- queries -->"
LONGEST_SQL = 180
IDENTITY = "SELECT current_setting('cluster_name'), pg_is_in_recovery()"


@dataclass(frozen=True)
class Server:
    cluster: str
    name: str
    """As the server says itself."""
    role: str


@dataclass(frozen=True)
class Query:
    server: Server
    sql: str
    milliseconds: float


@dataclass(frozen=True)
class Trace:
    queries: list[Query] = field(default_factory=list)

    @property
    def servers(self) -> list[Server]:
        return list(dict.fromkeys(query.server for query in self.queries))

    @property
    def milliseconds(self) -> float:
        return sum(query.milliseconds for query in self.queries)

    def record(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        # Asked first: after a failed query of a transaction it couldn't be.
        server = server_of(context["connection"])
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            spent = 1000 * (time.perf_counter() - start)
            self.queries.append(Query(server, shorten(str(sql)), spent))


class QueryPanel:
    """Middleware: the outermost, to see the queries of all others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        trace = Trace()
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(trace.record))
            response = self.get_response(request)
        return with_panel(response, trace)


def with_panel(response: HttpResponseBase, trace: Trace) -> HttpResponseBase:
    content = getattr(response, "content", b"")
    if PLACE in content:
        panel = render_to_string("queries.html", {"trace": trace}).encode()
        response.content = content.replace(PLACE, panel, 1)  # type: ignore[attr-defined]
        if "Content-Length" in response:
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
    return response


asked: WeakKeyDictionary[Any, Server] = WeakKeyDictionary()


def server_of(connection: Any) -> Server:
    """Ask the server who it is, past all wrappers, and remember it."""
    opened = connection.connection
    if (known := asked.get(opened)) is None:
        with opened.cursor() as cursor:
            cursor.execute(IDENTITY)
            name, follows = cursor.fetchone()
        role = "replica" if follows else "primary"
        known = asked[opened] = Server(cluster_of(connection.alias), name, role)
    return known


def cluster_of(alias: str) -> str:
    cluster, _edition = get_topology().by_alias[alias]
    return cluster.name


def shorten(sql: str) -> str:
    """Keep what tells queries apart; values aren't in the text that Django passes."""
    text = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    text = re.sub(r"\((?:%s, ){3,}%s\)", "(…)", text)
    text = re.sub(r"^SELECT (?!COUNT|AVG|\(1\))(.{60,}?) FROM ", "SELECT … FROM ", text)
    return text if len(text) <= LONGEST_SQL else text[: LONGEST_SQL - 1] + "…"
