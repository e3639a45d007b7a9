"""Own writes are seen whatever the clock, the log, and the privileges are like."""

import time
from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from shoal.routing import choices, export_token, fresh, unit_of_work, with_token
from tests.integration.health.conftest import ALIASES, REPLICAS, Fleet, led_to
from tests.project.catalog.models import Product
from tests.waiting import until

pytestmark = pytest.mark.shoal(mirror_replicas=False)


def create(name: str) -> str:
    with unit_of_work():
        Product.objects.create(name=name)
        return export_token()


def who_reads(token: str) -> str:
    with with_token(token):
        Product.objects.count()
        return choices()["catalog"].alias


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_jumps(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    now = time.time
    with fleet["catalog_r1"].replay_paused(), fleet["catalog_r2"].replay_paused():
        token = create("kettle")
        monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
        assert who_reads(token) == "catalog"
        assert who_reads(create("pan")) == "catalog"
        assert fleet.serving("catalog_r1")
    until(lambda: who_reads(token) in REPLICAS)


def test_no_stale_read_of_what_was_not_flushed(fleet: Fleet) -> None:
    with connections["catalog"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    try:
        for count in range(1, 201):
            with with_token(create(f"kettle {count}")):
                assert Product.objects.count() == count
                if not count % 50:
                    read_on_a_replica(count)
    finally:
        connections["catalog"].close()


def read_on_a_replica(count: int) -> None:
    with fresh("catalog", wait=30):
        assert Product.objects.count() == count
        assert choices()["catalog"].alias in REPLICAS


OFFSET = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint % 8192"


@pytest.mark.alone
@pytest.mark.parametrize("switch", [False, True])
def test_an_idle_primary_at_the_beginning_of_a_page(fleet: Fleet, switch: bool) -> None:
    tokens: list[str] = []
    fill = (
        "DO $$ DECLARE room int; BEGIN FOR n IN 1..200 LOOP "
        "room := 8192 - (pg_current_wal_insert_lsn() - '0/0')::bigint % 8192; "
        "EXIT WHEN room IN (8168, 8152); "
        "PERFORM pg_logical_emit_message(false, '', "
        "repeat('x', greatest(least(room - 56 - n % 9, 7000), 1))); "
        "END LOOP; END $$"
    )

    def end_a_page() -> bool:
        """Say whether the token is of that place: servers write there by themselves."""
        fleet["catalog"].sql("SELECT pg_switch_wal()" if switch else fill)
        with unit_of_work(), connections["catalog"].cursor() as cursor:
            cursor.execute("SELECT pg_logical_emit_message(false, '', '')")
            fleet["catalog"].sql("SELECT pg_switch_wal()" if switch else fill)
            tokens.append(export_token())
        return fleet["catalog"].sql(OFFSET)[0][0] in (24, 40)

    until(end_a_page)
    until(lambda: who_reads(tokens[-1]) in REPLICAS, 10)


@pytest.fixture
def plain_role(fleet: Fleet) -> Iterator[None]:
    """The project's role may read no file of the server's and no one's statistics."""
    functions = "pg_control_system(), pg_control_checkpoint()"
    fleet["catalog"].sql(
        f"CREATE ROLE plain LOGIN PASSWORD 'plain';"
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO plain;"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain;"
        f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC"
    )
    plain = {"USER": "plain", "PASSWORD": "plain"}
    with led_to(dict.fromkeys(ALIASES, plain)):
        yield
    fleet["catalog"].sql(
        f"GRANT EXECUTE ON FUNCTION {functions} TO PUBLIC;"
        f"DROP OWNED BY plain; DROP ROLE plain"
    )


def test_a_role_that_may_ask_little(plain_role: None, fleet: Fleet) -> None:
    for count in range(1, 21):
        with with_token(create(f"kettle {count}")):
            assert Product.objects.count() == count
    with unit_of_work():
        Product.objects.create(name="one")
        connections["catalog"].close()
        with transaction.atomic(using="catalog"):
            Product.objects.using("catalog").count()
            assert export_token()
            assert Product.objects.count() == 21
    # Nobody knows whose log it is that the replicas have replayed.
    assert who_reads(create("last")) == "catalog"
