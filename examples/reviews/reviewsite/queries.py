"""Takes a request, gives its page with a panel: which server answered which query.

Django hands every query of a connection to the connection's execute wrappers, so the
panel sees raw SQL, sessions and the admin too. A query of the reviews passes twice: on
the sharded alias as it was asked, and below it on each shard as that was asked. The
server is asked for its own name once per connection; a recorded query costs no query.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from shoal.topology import get_topology

from reviewsite import units
from reviewsite.units import Unit
from reviewsite.ways import heard, in_words

PLACE = b"<!-- queries -->"
LONGEST_SQL = 180
IDENTITY = "SELECT current_setting('cluster_name'), pg_is_in_recovery()"


@dataclass(frozen=True)
class Server:
    cluster: str
    name: str
    """As the server says itself."""
    role: str


@dataclass
class Query:
    alias: str
    sql: str
    server: Server | None = None
    """`None`: several, each with a part of its own."""
    milliseconds: float = 0.0
    event: str = ""
    """What the log of Shoal calls it, if it was asked on a sharded alias."""
    way: str = ""
    """Why these shards, in words."""
    home: str = ""
    """Where rows were brought together."""
    rows: int | None = None
    """How many one shard sent, or changed."""
    parts: list["Query"] = field(default_factory=list)

    def settle(self, records: list[Any]) -> None:
        """Take in what was told: of one shard, the shard is who answered."""
        if records:
            self.way, self.event = in_words(records[-1]), records[-1].event
            self.home = getattr(records[-1], "home", "")
            self._count(getattr(records[-1], "tables", ()))
        if self.event == "query_scattered":
            # They come as they end: the fastest shard first.
            self.parts.sort(key=lambda part: part.alias)
        if len(self.parts) == 1 and not self.home:
            self.server = self.parts.pop().server

    def _count(self, tables: Sequence[Any]) -> None:
        for table in tables:
            for part in self.parts:
                if f" FROM {table.table} " in part.sql:
                    part.rows = table.rows.get(part.alias)


@dataclass
class Trace:
    queries: list[Query] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    """Those of this request, and of one that was redirected here."""
    _open: list[Query] = field(default_factory=list)
    """Those that are being answered, innermost last."""

    @property
    def servers(self) -> list[Server]:
        asked = [part for query in self.queries for part in (query, *query.parts)]
        return list(dict.fromkeys(one.server for one in asked if one.server))

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
        connection = context["connection"]
        sharded = is_sharded(connection.alias)
        # Asked first: after a failed query of a transaction it couldn't be.
        server = None if sharded else server_of(connection)
        query = Query(connection.alias, shorten(str(sql)), server)
        with ExitStack() as stack:
            stack.enter_context(self._measured(query))
            if sharded:
                stack.enter_context(self._taken_apart(query))
            answer = execute(sql, params, many, context)
            if context["cursor"].rowcount >= 0:
                query.rows = context["cursor"].rowcount
            return answer

    @contextmanager
    def _measured(self, query: Query) -> Iterator[None]:
        siblings = self._open[-1].parts if self._open else self.queries
        start = time.perf_counter()
        try:
            yield
        finally:
            query.milliseconds = 1000 * (time.perf_counter() - start)
            # A statement that Shoal has to take apart first was sent nowhere.
            if query.server or query.parts:
                siblings.append(query)

    @contextmanager
    def _taken_apart(self, query: Query) -> Iterator[None]:
        """What shards are asked meanwhile are parts of this query."""
        self._open.append(query)
        try:
            with heard() as records:
                yield
        finally:
            self._open.pop()
            query.settle(records)


tracing: ContextVar[Trace] = ContextVar("tracing")
"""That of the request which is being answered."""


class QueryPanel:
    """Middleware: the outermost, to see the queries of all others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        trace = Trace()
        token = tracing.set(trace)
        with ExitStack() as stack:
            stack.callback(tracing.reset, token)
            told = stack.enter_context(units.heard())
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(trace.record))
            response = self.get_response(request)
        trace.units = told.units
        if has_panel(response):
            trace.units = [*units.carried(request), *told.units]
            units.drop(request, response)
        elif told.units:
            units.carry(response, told.units)
        return with_panel(response, trace)


def has_panel(response: HttpResponseBase) -> bool:
    return PLACE in getattr(response, "content", b"")


def with_panel(response: HttpResponseBase, trace: Trace) -> HttpResponseBase:
    if has_panel(response):
        content: bytes = response.content  # type: ignore[attr-defined]
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
        cluster, is_shard = place_of(connection.alias)
        role = "replica" if follows else "shard" if is_shard else "primary"
        known = asked[opened] = Server(cluster, name, role)
    return known


def place_of(alias: str) -> tuple[str, bool]:
    """Return the cluster, and whether the alias is one shard of it."""
    cluster, _edition = get_topology().by_alias[alias]
    return cluster.name, cluster.is_sharded


def is_sharded(alias: str) -> bool:
    """Say whether the alias stands for shards, and has no server of its own."""
    name, is_one_of_shards = place_of(alias)
    return is_one_of_shards and name == alias


def shorten(sql: str) -> str:
    """Keep what tells queries apart; values aren't in the text that Django passes."""
    text = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    text = re.sub(r"\((?:\(?%s\)?, ){3,}\(?%s\)?\)", "(…)", text)
    text = re.sub(r"^SELECT (?!COUNT|AVG|\(1\))(.{60,}?) FROM ", "SELECT … FROM ", text)
    return text if len(text) <= LONGEST_SQL else text[: LONGEST_SQL - 1] + "…"
