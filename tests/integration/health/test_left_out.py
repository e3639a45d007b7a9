"""A replica that is not well serves nobody within a second, and is back by itself."""

import socket
import time
from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test import AsyncClient, Client

from shoal.routing import choices, unit_of_work
from shoal.routing.health import get_watch
from tests.integration.health.conftest import ALIASES, Fleet, led_to
from tests.project.catalog.models import Product
from tests.waiting import quickest, until

pytestmark = [
    pytest.mark.shoal(mirror_replicas=False),
    pytest.mark.urls("tests.integration.health.views"),
]


def readers() -> set[str]:
    """Return who serves the reads of many units of work."""
    connections.close_all()
    seen = set()
    for _ in range(20):
        with unit_of_work():
            Product.objects.count()
            seen.add(choices()["catalog"].alias)
    return seen


@pytest.mark.alone
def test_a_replica_that_refuses(fleet: Fleet) -> None:
    until(lambda: readers() == {"catalog_r1", "catalog_r2"})

    def leave_out() -> float:
        fleet["catalog_r1"].start()
        until(lambda: fleet.serving("catalog_r1"))
        fleet["catalog_r1"].stop()
        return until(lambda: not fleet.serving("catalog_r1"))

    assert quickest(leave_out, enough=1) < 1
    assert fleet.state("catalog_r1") == "down"
    assert "refused" in get_watch().health["catalog_r1"].error
    until(lambda: readers() == {"catalog_r2"})
    fleet["catalog_r1"].start()
    assert until(lambda: fleet.serving("catalog_r1")) < 15
    until(lambda: readers() == {"catalog_r1", "catalog_r2"})


def test_nobody_gets_an_error(fleet: Fleet) -> None:
    client = Client()
    fleet["catalog_r1"].stop()
    for _ in range(20):
        assert client.get("/names/").json() == []
    fleet["catalog_r1"].start()
    until(lambda: fleet.serving("catalog_r1"))
    for _ in range(10):
        assert client.get("/twice/").json() == []


def test_nobody_gets_an_error_under_async(fleet: Fleet) -> None:
    async def get() -> list[int]:
        client = AsyncClient()
        return [(await client.get("/async-twice/")).status_code for _ in range(20)]

    assert async_to_sync(get)() == [200] * 20
    fleet["catalog_r1"].stop()
    fleet["catalog_r2"].stop()
    assert async_to_sync(get)() == [200] * 20


def answered_within(seconds: float) -> bool:
    """Ask for 20 pages; say whether nobody has waited for a server on the way."""
    begun = time.monotonic()
    for _ in range(20):
        assert Client().get("/names/").status_code == 200
    return time.monotonic() - begun < seconds


@pytest.mark.alone
def test_a_deaf_replica(fleet: Fleet) -> None:
    def leave_out() -> float:
        until(lambda: fleet.serving("catalog_r1"))
        with fleet.deaf("catalog_r1"):
            took = until(lambda: not fleet.serving("catalog_r1"))
            assert fleet.state("catalog_r1") == "silent"
            assert answered_within(5)
        return took

    assert quickest(leave_out, enough=1) < 1
    assert until(lambda: fleet.serving("catalog_r1")) < 15


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A server that accepts nobody, at whose door nobody else finds room."""
    with socket.socket() as mute, socket.socket() as one, socket.socket() as two:
        mute.bind(("127.0.0.1", 0))
        mute.listen(0)
        for guest in (one, two):
            guest.setblocking(False)
            guest.connect_ex(mute.getsockname())
        yield mute


@pytest.mark.alone
def test_a_replica_that_never_accepts(fleet: Fleet, mute: socket.socket) -> None:
    host, port = mute.getsockname()

    def leave_out() -> float:
        with led_to({"catalog_r1": {"HOST": host, "PORT": str(port)}}):
            get_watch().wake()
            took = until(lambda: not fleet.serving("catalog_r1"))
            assert answered_within(5)
        return took

    assert quickest(leave_out, enough=1) < 1


@pytest.mark.alone
def test_a_replica_behind_by_more_than_max_lag(fleet: Fleet, settings) -> None:  # type: ignore[no-untyped-def]
    clusters = settings.SHOAL["CLUSTERS"]
    catalog = {**clusters["catalog"], "MAX_LAG": 0.5}
    settings.SHOAL = {**settings.SHOAL, "CLUSTERS": {**clusters, "catalog": catalog}}
    fleet.meet()
    with fleet["catalog_r1"].replay_paused():
        Product.objects.create(name="kettle")
        until(lambda: fleet.state("catalog_r1") == "lagging")
        assert not fleet.serving("catalog_r1")
        assert (get_watch().health["catalog_r1"].lag or 0) > 0.5
        until(lambda: fleet.serving("catalog_r2"))
        for _ in range(10):
            with unit_of_work():
                assert Product.objects.count() == 1
    assert until(lambda: fleet.serving("catalog_r1")) < 5


def test_all_replicas_are_down(fleet: Fleet) -> None:
    for alias in ALIASES[1:]:
        fleet[alias].stop()
    for _ in range(10):
        assert Client().get("/twice/").status_code == 200
    until(lambda: not any(map(fleet.serving, ALIASES[1:])))
    with unit_of_work():
        Product.objects.create(name="kettle")
        assert Product.objects.count() == 1
        connections["catalog"].close()
    assert readers() == {"catalog"}
    with unit_of_work():
        Product.objects.count()
        assert choices()["catalog"].reason == "no replica"


def test_a_server_that_is_asked_again_and_again_is_not_stormed(fleet: Fleet) -> None:
    """Writes expect replicas closely, and yet a dead one is left in peace."""
    fleet["catalog_r1"].stop()
    until(lambda: not fleet.serving("catalog_r1"))
    asked = []
    watch = get_watch()
    failed = watch.failed
    watch.failed = lambda *args: (asked.append(args[0]), failed(*args))[1]  # type: ignore[method-assign,func-returns-value]
    client, begun = Client(), time.monotonic()
    for number in range(50):
        client.post("/names/", {"name": f"kettle {number}"})
    took = time.monotonic() - begun
    assert asked.count("catalog_r1") <= 4 + took / 2
