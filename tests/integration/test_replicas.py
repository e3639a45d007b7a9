"""Reads by weight on real replicas, asked who they are."""

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.test import Client

from shoal.errors import ReplicaWrite
from shoal.lab import Lab
from shoal.routing import pinned, stale, unit_of_work
from shoal.testing import served_by
from tests.project.catalog.models import Product, Tag
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


def test_replicas_serve_reads(servers: Lab) -> None:
    Product.objects.create(name="kettle")
    caught_up(servers)
    seen = set()
    for _ in range(30):
        with unit_of_work():
            seen.add(served_by(Product))
            assert served_by(Product) == served_by("catalog") == served_by(Tag)
            assert Product.objects.get().name == "kettle"
    assert seen == set(REPLICAS)


def test_reads_after_a_write_of_the_unit_see_it(servers: Lab) -> None:
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        with unit_of_work():
            assert served_by(Product) in REPLICAS
            Product.objects.create(name="kettle")
            assert served_by(Product) == "catalog"
            assert Product.objects.count() == 1
            with stale("catalog"):
                assert Product.objects.count() == 0
        with unit_of_work(), pinned("catalog"):
            assert Product.objects.count() == 1


def test_raw_sql_counts_as_a_write(servers: Lab) -> None:
    with unit_of_work():
        with connections["catalog"].cursor() as cursor:
            cursor.execute("INSERT INTO catalog_tag (name) VALUES ('raw')")
        assert served_by(Tag) == "catalog"
        assert Tag.objects.get().name == "raw"


def test_never_inside_atomic_of_the_primary(servers: Lab) -> None:
    with unit_of_work():
        assert served_by(Product) in REPLICAS
        with transaction.atomic(using="catalog"):
            assert served_by(Product) == "catalog"
        with transaction.atomic(using="feedback"):
            assert served_by(Product) in REPLICAS


def test_never_with_autocommit_off(servers: Lab) -> None:
    connection = connections["catalog"]
    with unit_of_work():
        connection.set_autocommit(False)
        try:
            assert served_by(Product) == "catalog"
        finally:
            connection.rollback()
            connection.set_autocommit(True)
        assert served_by(Product) in REPLICAS


def test_select_for_update_locks_on_the_primary(servers: Lab) -> None:
    product = Product.objects.create(name="kettle")
    with unit_of_work(), transaction.atomic(using="catalog"):
        assert Product.objects.select_for_update().get(pk=product.pk) == product
    with unit_of_work():
        found, created = Product.objects.get_or_create(name="kettle")
        assert not created
        assert found == product


def test_a_request_is_one_unit_of_work(servers: Lab) -> None:
    seen = set()
    for _ in range(30):
        (alias,) = set(Client().get("/aliases/").json())
        seen.add(alias)
    assert seen == set(REPLICAS)


def test_threads_do_not_share_a_unit_of_work(servers: Lab) -> None:
    with unit_of_work(), pinned("catalog"):
        seen: list[str] = []

        def read() -> None:
            seen.append(Product.objects.all().db)

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert seen[0] in REPLICAS
        assert Product.objects.all().db == "catalog"


def test_coroutines_do_not_share_a_unit_of_work(servers: Lab) -> None:
    async def writer(written: asyncio.Event) -> str:
        with unit_of_work():
            await Product.objects.acreate(name="mine")
            written.set()
            return await sync_to_async(served_by)(Product)

    async def reader(written: asyncio.Event) -> str:
        with unit_of_work():
            await written.wait()
            return await sync_to_async(served_by)(Product)

    async def both() -> list[str]:
        written = asyncio.Event()
        return await asyncio.gather(writer(written), reader(written))

    mine, other = async_to_sync(both)()
    assert mine == "catalog"
    assert other in REPLICAS


@pinned("catalog")
async def pinned_read() -> str:
    return await sync_to_async(served_by)(Product)


def test_pinned_decorates_a_coroutine(servers: Lab) -> None:
    assert async_to_sync(pinned_read)() == "catalog"


def test_a_copy_into_a_replica_is_refused(servers: Lab) -> None:
    caught_up(servers)
    with (
        connections["catalog_r1"].cursor() as cursor,
        pytest.raises(ReplicaWrite, match="'catalog_tag'"),
        cursor.copy("COPY catalog_tag (name) FROM STDIN"),
    ):
        pass
    with (
        connections["catalog_r1"].cursor() as cursor,
        cursor.copy("COPY catalog_tag (name) TO STDOUT") as copy,
    ):
        assert list(copy) == []


def test_rows_of_a_write_on_a_replica_are_refused(servers: Lab) -> None:
    caught_up(servers)
    with connections["catalog_r1"].cursor() as cursor:
        assert [*cursor.stream("SELECT name FROM catalog_tag")] == []
        with pytest.raises(ReplicaWrite, match="'catalog_tag'"):
            [*cursor.stream("INSERT INTO catalog_tag (name) VALUES ('') RETURNING 1")]
