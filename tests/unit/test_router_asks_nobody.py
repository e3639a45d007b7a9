"""Every way out of the process raises in this thread while the router is asked."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, router
from tests.project.catalog.models import Product
from tests.project.feedback.models import Review
from tests.project.pages.models import Page

from shoal.routing import pinned, role, stale, unit_of_work, writes
from shoal.routing.context import OpenWrite, Unit, begin, current_unit
from shoal.routing.health import Watch, get_watch, process
from shoal.routing.health.values import Look
from shoal.topology import Position, get_topology

REPLICAS = {"catalog_r1", "catalog_r2"}
pytestmark = pytest.mark.shoal(mirror_replicas=False)
OUT = ("open", "os.", "socket.", "sqlite3.", "subprocess.")
"""Beginnings of Python's audit events for what leaves a process."""
_shut: set[int] = set()
"""The threads that may not leave."""


class WentOut(AssertionError):
    """Somebody asked."""


def _refuse_to_leave(event: str, arguments: object) -> None:
    if _shut and threading.get_ident() in _shut and event.startswith(OUT):
        raise WentOut(event)


sys.addaudithook(_refuse_to_leave)


class Untouchable:
    """
    The connection of a driver, on which nothing may be asked or looked up.

    But for what libpq keeps here in the client: whether a transaction is open.
    """

    class pgconn:
        transaction_status = 0

    def __getattr__(self, name: str) -> Any:
        raise WentOut(f"connection.{name}")


class Well:
    """Says that a server is well, unless it was lost."""

    lost: Container[str] = ()
    shown: Mapping[str, Position] = {}
    """The positions of those that have one."""

    def __init__(self, alias: str, *args: Any) -> None:
        self.alias = alias

    def ask(self) -> Look:
        if self.alias in Well.lost:
            raise ConnectionError("gone")
        now = time.monotonic()
        return Look(
            asked_at=now,
            answered_at=now,
            position=Well.shown.get(self.alias),
            is_replica=None,
            age=None,
        )

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: "gone"


def refused(*args: Any, **kwargs: Any) -> Any:
    raise WentOut("a question")


@pytest.fixture(params=["connected", "not connected"])
def shut(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A block in which this thread can neither ask nor wait."""
    is_connected = request.param == "connected"
    for alias in connections:
        connection = connections[alias]
        held = Untouchable() if is_connected else None
        monkeypatch.setattr(connection, "connection", held)
        monkeypatch.setattr(connection, "autocommit", True)
        for name in ("connect", "cursor", "ensure_connection", "get_new_connection"):
            monkeypatch.setattr(connection, name, refused)
    monkeypatch.setattr(Well, "lost", ())
    monkeypatch.setattr(Well, "shown", {})
    editions = [e for e in get_topology().editions() if e.replicas]
    watch = Watch(editions, asker=Well)  # type: ignore[arg-type]
    monkeypatch.setattr(process, "_watch", watch)
    for name in ("ask", "look", "look_again", "meet", "wait"):
        monkeypatch.setattr(watch, name, refused)

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        _shut.add(threading.get_ident())
        try:
            yield
        finally:
            _shut.discard(threading.get_ident())

    yield block
    watch.stop()


def at(place: int) -> Position:
    return Position("history", {"wal": ((0, place),)})


def token(place: int) -> None:
    """Let the unit of work have a token, and one replica be at 100."""
    # The watch may look once more before anybody chooses.
    Well.shown = {"catalog_r1": at(100)}
    look = Well("catalog_r1").ask()
    get_watch().saw(get_topology().clusters["catalog"], "catalog_r1", look)
    current_unit().tokens["catalog"] = at(place)


def own_write() -> None:
    writes.committed(current_unit(), "catalog")


def write_rolled_back() -> None:
    open_write = OpenWrite(connections["catalog"].connection, lambda: None)
    current_unit().open_writes["catalog"] = open_write


def transaction() -> None:
    connections["catalog"].in_atomic_block = True


def replicas_lost() -> None:
    Well.lost = REPLICAS
    for alias in REPLICAS:
        get_watch().suspect(alias, "gone")


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (nothing, REPLICAS),
        (lambda: token(100), {"catalog_r1"}),
        (lambda: token(101), {"catalog"}),
        (own_write, {"catalog"}),
        (write_rolled_back, REPLICAS | {"catalog"}),
        (transaction, {"catalog"}),
        (replicas_lost, {"catalog"}),
    ],
    ids=[
        "nothing",
        "token reached",
        "token not reached",
        "own write",
        "write rolled back",
        "transaction",
        "replicas lost",
    ],
)
@pytest.mark.parametrize("begun", [True, False], ids=["unit", "no unit"])
def test_no_choice_asks_anybody(
    shut: Callable[[], AbstractContextManager[None]],
    begun: bool,
    happened: Callable[[], None],
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections["catalog"], "in_atomic_block", False)
    with begin(Unit(begun=begun)):
        happened()
        with shut():
            answers = {router.db_for_read(Product) for _ in range(3)}
            assert router.db_for_write(Product) == "catalog"
    assert answers <= expected


def test_no_scope_asks_anybody(
    shut: Callable[[], AbstractContextManager[None]],
) -> None:
    with unit_of_work(), shut():
        with pinned():
            assert router.db_for_read(Product) == "catalog"
        with stale("catalog"):
            assert router.db_for_read(Product) in REPLICAS
        with role("pages", "draft"):
            assert router.db_for_read(Page) == "pages_draft"
        assert router.db_for_read(Review) == "feedback"


@pytest.mark.parametrize(
    "way_out",
    [
        lambda: Product.objects.count(),
        lambda: Path(__file__).read_text(),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: get_watch().look(connections["catalog"]),
    ],
)
def test_whoever_asks_is_caught(
    shut: Callable[[], AbstractContextManager[None]], way_out: Callable[[], object]
) -> None:
    with unit_of_work(), shut(), pytest.raises(WentOut):
        way_out()
