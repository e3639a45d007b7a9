"""Threads of one unit of work, requests inside requests: nothing is read too old."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path
from pytest_django import DjangoDbBlocker

from shoal.lab import Lab, MariaDB
from shoal.routing import choices, export_token, stale, unit_of_work, with_token
from shoal.routing.context import current, set_current
from shoal.routing.health import get_watch
from shoal.testing.mirrors import observed_by
from tests.integration.test_lagging import shop
from tests.project.catalog.models import Product, Tag
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """Both replicas show what they show now, until the end of the test."""
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield


def names(token: str = "") -> list[str]:
    with with_token(token):
        return read()


def read() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


def in_thread(work: Callable[[], Any]) -> Any:
    """Do this in a thread of this unit of work, and close what it has opened."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    thread.join()
    return found[0]


def create(name: str) -> None:
    Product.objects.create(name=name)


def read_in_transaction() -> str:
    with stale(), transaction.atomic(using="catalog"):
        read()
        return choices()["catalog"].reason


def test_a_thread_is_not_taken_for_one_that_has_ended(paused: None) -> None:
    with unit_of_work():
        for _ in range(5):
            # The system gives the number of a thread that has ended to the next one.
            in_thread(read)
            assert in_thread(read_in_transaction) == "transaction"


class Between:
    """The watch, and what happens in another thread while it is asked."""

    def __init__(self, method: str, happens: Callable[[], Any]) -> None:
        self._method, self._happens = method, happens
        self._has_happened = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(get_watch(), name)
        if name != self._method or self._has_happened:
            return value

        def after(*args: Any, **kwargs: Any) -> Any:
            found = value(*args, **kwargs)
            if not self._has_happened:
                self._has_happened = True
                in_thread(self._happens)
            return found

        return after


@pytest.fixture
def meanwhile() -> Iterator[Callable[[str, Callable[[], Any]], None]]:
    before = current()

    def begin(method: str, happens: Callable[[], Any]) -> None:
        set_current(replace(current(), observer=Between(method, happens)))

    yield begin
    set_current(before)


@pytest.fixture
def pause(servers: Lab) -> Iterator[Callable[[], None]]:
    """Let both replicas show what there is by then, and nothing that comes after."""
    with contextlib.ExitStack() as paused:

        def pause() -> None:
            caught_up(servers)
            for name in REPLICAS:
                paused.enter_context(servers[name].replay_paused())

        yield pause


def test_a_write_while_the_position_is_asked_for(pause, meanwhile) -> None:  # type: ignore[no-untyped-def]
    def late() -> None:
        pause()
        create("late")

    meanwhile("look", late)
    with unit_of_work():
        create("early")
        export_token()
        assert read() == ["early", "late"]
        token = export_token()
    assert names(token) == ["early", "late"]


def test_a_write_while_a_member_is_chosen(paused: None, meanwhile) -> None:  # type: ignore[no-untyped-def]
    meanwhile("is_usable", lambda: create("late"))
    with unit_of_work():
        read()
        assert read() == ["late"]


def outer(request: HttpRequest) -> JsonResponse:
    create("kettle")
    inner = Client().get("/inner/").json()
    return JsonResponse({"inner": inner["names"], "outer": read()})


def inner(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"names": read()})


class Exporting:
    """A view during which, and after its own write, another request writes."""

    pause: Callable[[], None]

    def __call__(self, request: HttpRequest) -> JsonResponse:
        create("first")
        export_token()
        self.pause()
        in_thread(lambda: Client().post("/writing/"))
        return JsonResponse({})


exporting = Exporting()


def writing(request: HttpRequest) -> JsonResponse:
    create("second")
    return JsonResponse({})


urlpatterns = [
    path("outer/", outer),
    path("inner/", inner),
    path("exporting/", exporting),
    path("writing/", writing),
]


@pytest.mark.urls(__name__)
def test_a_request_that_makes_another_one(paused: None) -> None:
    found = Client().post("/outer/").json()
    assert found == {"inner": [], "outer": ["kettle"]}
    assert current().unit is None or current().unit.source is None


@pytest.mark.urls(__name__)
def test_the_last_answer_carries_the_latest_position(pause) -> None:  # type: ignore[no-untyped-def]
    exporting.pause = pause
    token = Client().post("/exporting/").headers["Shoal-Token"]
    assert names(token) == ["first", "second"]


@pytest.mark.mariadb
def test_a_commit_of_which_the_driver_does_not_tell(
    django_db_blocker: DjangoDbBlocker,
) -> None:
    with (
        Lab(MariaDB("shop", replicas=("shop_r1",))) as lab,
        shop(lab.databases, django_db_blocker),
        observed_by(None),
    ):
        lab["shop_r1"].wait_until_replayed()
        with lab["shop_r1"].replay_paused(), unit_of_work():
            connections["shop"].set_autocommit(False)
            create("kettle")
            export_token()
            connections["shop"].commit()
            token = export_token()
            connections["shop"].set_autocommit(True)
            assert names(token) == ["kettle"]


PROCEDURE = """
CREATE OR REPLACE PROCEDURE half() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catalog_tag (name) VALUES ('half');
    COMMIT;
    PERFORM 1 / 0;
END $$
"""


def half() -> None:
    with connections["catalog"].cursor() as cursor:
        cursor.execute("CALL half()")


def test_a_procedure_that_commits_and_fails(servers: Lab) -> None:
    with connections["catalog"].cursor() as cursor:
        cursor.execute(PROCEDURE)
    caught_up(servers)
    with (
        servers["catalog_r1"].replay_paused(),
        servers["catalog_r2"].replay_paused(),
        unit_of_work(),
    ):
        with pytest.raises(Exception, match="division by zero"):
            half()
        assert Tag.objects.get().name == "half"
