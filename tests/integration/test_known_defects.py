"""
What other libraries for replicas got wrong, each shown not to happen here.

django-multidb-router, django_replicated, django-rw-router, django-database-routing:
found by running them. GitLab: from its public list of issues, by number.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.paginator import Paginator
from django.db import connections, transaction
from django.test import Client

from shoal.lab import Lab
from shoal.routing import (
    Router,
    export_token,
    fresh,
    pinned,
    stale,
    unit_of_work,
    with_token,
)
from shoal.testing import served_by
from tests.project.catalog.models import Product, Tag
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """The alias of every query of the catalog in this thread."""
    aliases: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        aliases.append(context["connection"].alias)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in ("catalog", *REPLICAS):
            stack.enter_context(connections[alias].execute_wrapper(note))
        yield aliases


def in_bulk() -> None:
    assert len(Product.objects.in_bulk()) == 5


def iterate() -> None:
    assert len(list(Product.objects.order_by("pk").iterator(chunk_size=2))) == 5


def paginate() -> None:
    page = Paginator(Product.objects.order_by("pk"), 2).page(2)
    assert [product.name for product in page] == ["p2", "p3"]
    assert page.paginator.count == 5


def prefetch() -> None:
    products = Product.objects.prefetch_related("tags")
    assert sum(len(product.tags.all()) for product in products) == 5


def several() -> None:
    for operation in (in_bulk, iterate, paginate, prefetch):
        operation()
    assert Product.objects.exists()
    assert Product.objects.latest("pk").tags.get().name == "tag"


@pytest.mark.parametrize("operation", [in_bulk, iterate, paginate, prefetch, several])
def test_how_often_django_asks_changes_nothing(
    servers: Lab, asked: list[str], operation: Callable[[], None]
) -> None:
    """django-multidb-router: round robin advances with each call of the router."""
    tag = Tag.objects.create(name="tag")
    for number in range(5):
        Product.objects.create(name=f"p{number}").tags.add(tag)
    caught_up(servers)
    seen = set()
    for _ in range(24):
        asked.clear()
        with unit_of_work():
            operation()
        assert len(set(asked)) == 1, asked
        seen |= set(asked)
    assert seen == set(REPLICAS)


def test_bulk_writes_stay_on_the_primary(servers: Lab, asked: list[str]) -> None:
    with unit_of_work():
        products = [Product(name=f"p{n}") for n in range(5)]
        Product.objects.bulk_create(products)
        found, created = Product.objects.get_or_create(name="p1")
        assert not created
        found.name = "renamed"
        Product.objects.bulk_update([found], ["name"])
        assert Product.objects.update_or_create(
            name="renamed", defaults={"name": "again"}
        ) == (found, False)
        assert Product.objects.filter(name="again").exists()
    assert set(asked) == {"catalog"}


def test_nested_pins_are_undone(servers: Lab) -> None:
    """django-multidb-router: the thread stays pinned for good."""
    with unit_of_work():
        with pinned("catalog"):
            with pinned("catalog"), stale("catalog"):
                assert served_by(Product) in REPLICAS
            assert served_by(Product) == "catalog"
        assert served_by(Product) in REPLICAS


def test_reads_in_a_transaction_are_those_of_the_transaction(servers: Lab) -> None:
    """django-multidb-router reads from a replica; django-rw-router asks `default`."""
    with unit_of_work():
        assert served_by(Product) in REPLICAS
        with transaction.atomic(using="catalog"):
            assert served_by(Product) == "catalog"
        with transaction.atomic(using="feedback"):
            assert served_by(Product) in REPLICAS


def test_every_database_may_be_migrated() -> None:
    """django-multidb-router blocks all but `default`."""
    allowed = {
        alias
        for alias in ("accounts", "catalog", "catalog_r1", "feedback")
        if Router().allow_migrate(alias, "catalog", "product")
    }
    assert allowed == {"catalog"}
    assert Router().allow_migrate("feedback", "feedback", "review")


def test_a_pin_of_one_coroutine_is_not_seen_by_another(servers: Lab) -> None:
    """django-multidb-router: it does nothing for the ORM, and leaks to the others."""

    async def reader(is_pinned: bool) -> str:
        with unit_of_work():
            if is_pinned:
                with pinned("catalog"):
                    await asyncio.sleep(0)
                    return await sync_to_async(served_by)(Product)
            await asyncio.sleep(0)
            return await sync_to_async(served_by)(Product)

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(reader(bool(n % 2)) for n in range(10)))

    served = async_to_sync(all_at_once)()
    assert set(served[1::2]) == {"catalog"}
    assert set(served[0::2]) <= set(REPLICAS)


def test_overlapping_threads_do_not_leave_the_process_pinned(servers: Lab) -> None:
    """django-database-routing swaps an attribute of a class."""
    both = threading.Barrier(2, timeout=60)

    def pin() -> None:
        try:
            with pinned("catalog"):
                both.wait()
                assert Product.objects.all().db == "catalog"
                both.wait()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=pin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with unit_of_work():
        assert served_by(Product) in REPLICAS


def test_a_post_that_answers_200_counts_and_lasts(servers: Lab) -> None:
    """django_replicated: only a redirect pins, and for one GET only."""
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        visitor = Client()
        assert visitor.post("/products/", {"name": "kettle"}).status_code == 200
        for _ in range(5):
            assert visitor.get("/products/").json() == ["kettle"]


def test_a_visitor_cannot_choose_the_server(servers: Lab) -> None:
    """django_replicated: any client can choose the state by a header."""
    for header in ("master", "slave", "1", "catalog"):
        response = Client().get(
            "/aliases/",
            headers={"Shoal-Token": header, "X-Replicated-State": header},
        )
        assert set(response.json()) <= set(REPLICAS)


def test_one_replica_that_caught_up_does_not_vouch_for_the_others(
    servers: Lab,
) -> None:
    """GitLab 413203: the token was cleared, and the next read went to a late one."""
    caught_up(servers)
    with servers["catalog_r2"].replay_paused():
        with unit_of_work():
            Product.objects.create(name="kettle")
            token = export_token()
        with with_token(token), fresh("catalog", wait=30):
            assert served_by(Product) == "catalog_r1"
        for _ in range(20):
            with with_token(token):
                assert served_by(Product) == "catalog_r1"
                assert Product.objects.get().name == "kettle"


def test_a_newer_write_is_not_forgotten_with_an_older_one(servers: Lab) -> None:
    """GitLab merge request 216379: check, then clear, with a write in between."""
    visitor = Client()
    visitor.post("/products/", {"name": "first"})
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        assert visitor.get("/products/").json() == ["first"]
        visitor.post("/products/", {"name": "second"})
        for _ in range(5):
            assert visitor.get("/products/").json() == ["first", "second"]


def test_a_queryset_is_routed_when_it_is_asked(servers: Lab) -> None:
    caught_up(servers)
    first, second = (servers[name].replay_paused() for name in REPLICAS)
    with first, second, unit_of_work():
        with stale("catalog"):
            lazy = Product.objects.filter(name="kettle")
        Product.objects.create(name="kettle")
        assert [product.name for product in lazy] == ["kettle"]


def test_a_write_and_an_error_after_it(servers: Lab) -> None:
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        visitor = Client(raise_request_exception=False)
        response = visitor.post("/products/fail/", {"name": "kettle"})
        assert response.status_code == 500
        assert visitor.get("/products/").json() == ["kettle"]


def test_a_write_through_using_counts(servers: Lab) -> None:
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        with unit_of_work():
            Product.objects.using("catalog").create(name="kettle")
            assert Product.objects.get().name == "kettle"
            token = export_token()
        with with_token(token):
            assert Product.objects.get().name == "kettle"


def test_two_sessions_side_by_side_keep_their_own_tokens(servers: Lab) -> None:
    async def session(name: str, writes: bool) -> list[str]:
        with unit_of_work():
            if writes:
                await Product.objects.acreate(name=name)
            await asyncio.sleep(0)
            return [product.name async for product in Product.objects.all()]

    async def both() -> list[list[str]]:
        return await asyncio.gather(session("kettle", True), session("", False))

    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        assert async_to_sync(both)() == [["kettle"], []]
