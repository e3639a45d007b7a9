"""Writes that are made, committed or answered in ways that few think of."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import OperationalError, connections
from django.test import RequestFactory

from shoal.lab import Lab
from shoal.routing import choices, export_token, retrying, unit_of_work, with_token
from shoal.routing.context import Unit, begin
from shoal.routing.health import get_watch
from tests.project.catalog.models import Product, Tag
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """Both replicas show what they show now, and know a function that writes."""
    run(
        "catalog",
        "CREATE OR REPLACE FUNCTION hit(text) RETURNS void LANGUAGE sql AS "
        "'INSERT INTO catalog_tag (name) VALUES ($1)'",
    )
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield


def run(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def call() -> None:
    with connections["catalog"].cursor() as cursor:
        cursor.callproc("hit", ["odd"])


def by_hand() -> None:
    run("catalog", "BEGIN", "INSERT INTO catalog_tag (name) VALUES ('odd')")
    assert Tag.objects.get().name == "odd", "the transaction's own connection reads"
    run("catalog", "COMMIT")


def without_autocommit() -> None:
    connection = connections["catalog"]
    connection.set_autocommit(False)
    try:
        Tag.objects.create(name="odd")
        connection.commit()
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def behind_an_escape() -> None:
    run("catalog", r"SELECT hit('odd') WHERE 'a' NOT LIKE 'x' ESCAPE '\'")


WRITES = (call, by_hand, without_autocommit, behind_an_escape)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_read_back(paused: None, write: Callable[[], None]) -> None:
    with unit_of_work():
        write()
        assert Tag.objects.get().name == "odd"
        token = export_token()
    with with_token(token):
        assert Tag.objects.get().name == "odd"
        assert choices()["catalog"].reason == "not caught up"


def test_a_commit_by_hand_that_comes_late(paused: None) -> None:
    """The watch has asked the primary between the write and its commit."""
    watch = get_watch()
    with unit_of_work():
        run("catalog", "BEGIN", "INSERT INTO catalog_tag (name) VALUES ('odd')")
        assert watch.look_again("catalog", within=30)
        run("catalog", "COMMIT")
        token = export_token()
    with with_token(token):
        assert Tag.objects.get().name == "odd"


def test_who_answers_last_carries_the_latest_position(servers: Lab) -> None:
    """A visitor's two requests at once: the cookie of the later answer stays."""
    one, other = Unit(), Unit()
    with begin(one):
        Product.objects.create(name="one")
    assert get_watch().look_again("catalog", within=30)
    with begin(other):
        Product.objects.create(name="other")
        export_token()
    with begin(one):
        export_token()
    assert one.tokens["catalog"].reaches(other.tokens["catalog"])


@pytest.mark.alone
def test_a_primary_that_goes_deaf_after_the_write(servers: Lab) -> None:
    """Its position cannot be had: the token is the time, and nobody waits for long."""
    found: dict[str, float | str] = {}

    def work() -> None:
        with unit_of_work():
            Product.objects.create(name="kettle")
            with connections["catalog"].cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                found["pid"] = cursor.fetchone()[0]
            os.kill(int(found["pid"]), signal.SIGSTOP)
            begun = time.monotonic()
            found["token"] = export_token()
            found["took"] = time.monotonic() - begun
        connections["catalog"].close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    os.kill(int(found["pid"]), signal.SIGCONT)
    assert not thread.is_alive()
    assert float(found["took"]) < 15
    with with_token(str(found["token"])):
        assert Product.objects.get().name == "kettle"
        assert choices()["catalog"].alias == "catalog"


def conflict() -> OperationalError:
    error = OperationalError("canceling statement due to conflict with recovery")
    error.__cause__ = psycopg.errors.SerializationFailure()
    return error


def write_elsewhere() -> None:
    run("feedback", "CREATE TEMPORARY TABLE hits (n int)")


def write_and_export() -> None:
    Tag.objects.create(name="odd")
    export_token()


@pytest.mark.parametrize("write", [*WRITES, write_elsewhere, write_and_export])
def test_what_has_written_anywhere_is_not_answered_again(
    paused: None, write: Callable[[], None]
) -> None:
    request = RequestFactory().get("/")
    with unit_of_work():
        assert Product.objects.count() == 0
        assert choices()["catalog"].alias in REPLICAS
        assert retrying.consider(request, conflict()) is not None
        write()
        assert retrying.consider(request, conflict()) is None
    connections["feedback"].close()
