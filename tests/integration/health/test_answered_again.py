"""A safe request is answered once more when a replica died under it; no other is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connections
from django.test import AsyncClient, Client

from shoal.lab import LabServer
from shoal.routing import unit_of_work
from tests.integration.health import views
from tests.integration.health.conftest import Fleet
from tests.project.catalog.models import Product
from tests.waiting import until

pytestmark = [
    pytest.mark.shoal(mirror_replicas=False),
    pytest.mark.urls("tests.integration.health.views"),
]


@pytest.fixture
def killer(fleet: Fleet) -> Callable[[str], None]:
    """Kill the replica under the first answer, before its second read."""

    def kill(alias: str) -> None:
        if len(views.served) == 1:
            fleet[alias].stop()

    views.meanwhile[0] = kill
    return kill


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_safe_request(killer: None, method: str) -> None:
    assert getattr(Client(), method)("/twice/").status_code == 200
    assert len(views.served) == 2
    assert views.served[0] != views.served[1]


def test_an_async_view(killer: None) -> None:
    async def get() -> int:
        return (await AsyncClient().get("/async-twice/")).status_code

    assert async_to_sync(get)() == 200
    assert len(views.served) == 2


def test_a_view_with_a_transaction_on_the_replica(killer: None) -> None:
    assert Client().get("/on-replica/").status_code == 200
    assert len(views.served) == 2


@pytest.mark.parametrize("path", ["/twice/", "/on-replica/"])
def test_a_request_that_is_not_safe(killer: None, path: str) -> None:
    response = Client(raise_request_exception=False).post(path)
    assert response.status_code == 500
    assert len(views.served) == 1


def test_a_get_that_has_written(killer: None, fleet: Fleet) -> None:
    response = Client(raise_request_exception=False).get("/written/")
    assert response.status_code == 500
    assert len(views.served) == 1
    assert fleet["catalog"].sql("SELECT count(*) FROM catalog_product") == [(1,)]


def test_the_second_failure_is_an_error(fleet: Fleet) -> None:
    views.meanwhile[0] = lambda alias: fleet[alias].stop()
    response = Client(raise_request_exception=False).get("/twice/")
    assert response.status_code == 500
    assert len(views.served) == 2


def test_a_body_that_has_begun_is_cut_off(killer: None) -> None:
    response = Client().get("/streamed/")
    body = iter(response)
    assert next(body) == b"begun\n"
    with pytest.raises(OperationalError):
        next(body)
    response.close()
    assert Client().get("/names/").status_code == 200


def test_a_dead_connection_that_was_kept(fleet: Fleet) -> None:
    """The server is up again, and this thread does not know that it was down."""
    client = Client()
    for _ in range(10):
        client.get("/names/")
    for alias in ("catalog_r1", "catalog_r2"):
        fleet[alias].stop()
        fleet[alias].start()
    for _ in range(10):
        assert client.get("/names/").status_code == 200


def test_many_requests_in_flight(fleet: Fleet) -> None:
    def get(number: int) -> int:
        try:
            return Client().get("/sleeping/").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        codes = pool.map(get, range(50))
        until(lambda: asleep(fleet["catalog_r1"]) > 10)
        fleet["catalog_r1"].stop()
        assert list(codes) == [200] * 50
    assert len(views.served) > 60


def asleep(server: LabServer) -> int:
    """Return how many sessions of a server are inside `pg_sleep` by now."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    return int(server.ask(waits)[0][0])


def test_a_query_that_stood_in_the_way_of_replay(fleet: Fleet) -> None:
    """The primary drops what a replica reads, and that does not wait."""
    fleet["catalog"].sql("CREATE TABLE doomed AS SELECT 1 AS one")
    for alias in ("catalog_r1", "catalog_r2"):
        fleet[alias].wait_until_replayed()

    def drop(alias: str) -> None:
        until(lambda: asleep(fleet[alias]))
        fleet["catalog"].sql("DROP TABLE doomed")

    def cancel(alias: str) -> None:
        if len(views.served) > 1:
            return
        dropping = threading.Thread(target=drop, args=[alias])
        with connections[alias].cursor() as cursor:
            dropping.start()
            try:
                cursor.execute("SELECT one, pg_sleep(30) FROM doomed")
            finally:
                dropping.join()

    views.meanwhile[0] = cancel
    assert Client().get("/twice/").status_code == 200
    assert len(views.served) == 2
    with unit_of_work():
        assert Product.objects.count() == 0
