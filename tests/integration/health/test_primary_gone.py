"""Without the primary reads go on, writes say so, and no lost commit is forgotten."""

import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections, transaction
from django.test import Client

from shoal.errors import PrimaryUnavailable
from shoal.routing import choices, export_token, unit_of_work, with_token
from tests.integration.health.conftest import REPLICAS, Fleet
from tests.project.catalog.models import Product
from tests.waiting import quickest, until

pytestmark = [
    pytest.mark.shoal(mirror_replicas=False),
    pytest.mark.urls("tests.integration.health.views"),
]


def create(name: str) -> str:
    """Write in a unit of work; return its token."""
    with unit_of_work():
        Product.objects.create(name=name)
        return export_token()


@pytest.fixture
def without_primary(fleet: Fleet) -> None:
    Product.objects.create(name="kettle")
    for alias in REPLICAS:
        fleet[alias].wait_until_replayed()
    fleet["catalog"].stop()
    connections.close_all()
    until(lambda: fleet.state("catalog") == "down")


def test_reads_go_on_and_writes_say_so(without_primary: None, fleet: Fleet) -> None:
    client = Client(raise_request_exception=False)
    for _ in range(10):
        assert client.get("/twice/").json() == ["kettle", "kettle"]
    assert client.post("/names/", {"name": "pan"}).status_code == 500
    with unit_of_work(), pytest.raises(PrimaryUnavailable) as caught:
        Product.objects.create(name="pan")
    text = str(caught.value)
    assert text.startswith("The primary 'catalog' cannot be written to: ")
    assert "Connection refused" in text
    assert text.endswith(
        "Reads go on from its replicas. Start it, or promote a replica and let "
        "DATABASES['catalog'] lead there. `manage.py shoal status` shows all servers."
    )
    fleet["catalog"].start()
    until(lambda: fleet.state("catalog") == "up")
    Product.objects.create(name="pan")


@pytest.mark.alone
def test_a_primary_that_is_back_is_seen_soon(fleet: Fleet) -> None:
    def come_back() -> float:
        fleet["catalog"].stop()
        until(lambda: fleet.state("catalog") == "down")
        fleet["catalog"].start()
        return until(lambda: fleet.state("catalog") == "up")

    assert quickest(come_back, enough=1.5) < 1.5


def test_a_write_that_finds_its_connection_cut(fleet: Fleet) -> None:
    with unit_of_work():
        Product.objects.create(name="kettle")
        fleet["catalog"].stop()
        with pytest.raises(PrimaryUnavailable):
            Product.objects.create(name="pan")


def test_one_lost_connection_stops_no_other_write(fleet: Fleet) -> None:
    """An administrator ended one session; the primary is as well as ever."""
    for number in range(5):
        kill_sessions_of(fleet)
        with unit_of_work(), pytest.raises(PrimaryUnavailable) as caught:
            Product.objects.create(name="cut")
        assert "If it runs, only this connection was ended" in str(caught.value)
        connections.close_all()
        Product.objects.create(name=f"kettle {number}")


def kill_sessions_of(fleet: Fleet) -> None:
    Product.objects.using("catalog").count()
    with connections["catalog"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    assert fleet["catalog"].ask(f"SELECT pg_terminate_backend({pid}, 30000)")[0][0]


@pytest.mark.alone
def test_nothing_is_up(fleet: Fleet) -> None:
    client = Client(raise_request_exception=False)

    def come_back() -> float:
        for alias in ("catalog", *REPLICAS):
            fleet[alias].stop()
        for _ in range(3):
            assert client.get("/names/").status_code == 500
        for alias in ("catalog", *REPLICAS):
            fleet[alias].start()
        read = until(lambda: client.get("/names/").status_code == 200)
        pan = {"name": "pan"}
        written = until(lambda: client.post("/names/", pan).status_code == 200)
        return max(read, written)

    assert quickest(come_back, enough=2) < 2


@pytest.fixture
def stuck_commits(fleet: Fleet) -> Iterator[Fleet]:
    """Commits are durable on the primary and wait for a standby that is not there."""
    for alias in REPLICAS:
        fleet[alias].pause_replay()
    sync = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
    fleet["catalog"].ask(sync)
    fleet["catalog"].ask("SELECT pg_reload_conf()")
    until(lambda: fleet["catalog"].ask("SHOW synchronous_standby_names")[0][0])
    yield fleet
    fleet["catalog"].ask("ALTER SYSTEM RESET synchronous_standby_names")
    fleet["catalog"].ask("SELECT pg_reload_conf()")


WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' "
    "AND datname = 'catalog'"
)
ADD_TAG = """
CREATE OR REPLACE FUNCTION add_tag(text) RETURNS void LANGUAGE sql VOLATILE
AS 'INSERT INTO catalog_tag (name) VALUES ($1)'
"""


def in_atomic() -> None:
    with transaction.atomic(using="catalog"):
        Product.objects.create(name="kettle")


def in_autocommit() -> None:
    Product.objects.bulk_create([Product(name="kettle")])


def by_a_function() -> None:
    with connections["catalog"].cursor() as cursor:
        cursor.execute("SELECT add_tag('kettle'), 1 FROM (VALUES (1)) AS one")


@pytest.mark.parametrize("write", [in_atomic, in_autocommit, by_a_function])
def test_a_commit_whose_answer_was_lost(fleet: Fleet, stuck_commits, write) -> None:  # type: ignore[no-untyped-def]
    fleet["catalog"].sql("SET synchronous_commit = off;" + ADD_TAG)

    def cut() -> None:
        until(lambda: fleet["catalog"].ask(WAITING))
        # A crash of one process takes the sessions of all with it.
        fleet["catalog"].stop()
        fleet["catalog"].start()

    killer = threading.Thread(target=cut)
    killer.start()
    with unit_of_work():
        with pytest.raises(OperationalError):
            write()
        killer.join()
        connections.close_all()
        token = export_token()
        Product.objects.count()
        assert choices()["catalog"].alias == "catalog"
    assert token
    with with_token(token):
        Product.objects.count()
        assert choices()["catalog"].alias == "catalog"


def test_a_commit_that_was_lost_with_its_primary(fleet: Fleet) -> None:
    """Nobody can tell what was committed until the primary is back."""
    with unit_of_work():
        Product.objects.create(name="kettle")
        fleet["catalog"].stop()
        token = export_token()
    with with_token(token):
        assert Product.objects.all().db == "catalog"


def fail_in_atomic() -> None:
    with transaction.atomic(using="catalog"):
        Product.objects.create(name="never")
        raise RuntimeError


def test_a_write_that_was_rolled_back(fleet: Fleet) -> None:
    with unit_of_work():
        with pytest.raises(RuntimeError):
            fail_in_atomic()
        assert export_token() == ""
        assert Product.objects.all().db in REPLICAS
