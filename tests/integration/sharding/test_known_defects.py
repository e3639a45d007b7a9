"""
What other packages for sharding get wrong, each as a test that Shoal passes.

Every defect was seen in a released package, whose name is that of the section.
"""

import json
import os
import subprocess
import sys
import unittest
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.paginator import Paginator
from django.db import IntegrityError, connections, transaction
from django.db.models import Count, Q
from django.test import TransactionTestCase

from shoal.errors import MissingKey, RawQueryRefused, UnknownCluster
from shoal.placement import on_shard, shard_of
from tests.project.catalog.models import Tag as CatalogTag
from tests.sharded.fixtures import on_postgresql, with_ids
from tests.sharded.models import Category, Country, Product, Review, Stock
from tests.sharded.places import (
    code_on,
    names,
    names_on,
    product_on,
    review_on,
)
from tests.sharded.shop import SHARDS, SHOP, TWIN, copy_to_twin

FIRST, SECOND, THIRD, _ = SHARDS


def everywhere(*names: str) -> list[Product]:
    """Return products that lie on all shards in turn."""
    return [product_on(SHARDS[n % 4], name=name) for n, name in enumerate(names)]


# django-sharding

HASHING = """
import sys, django
from django.conf import settings
settings.configure(INSTALLED_APPS=[])
django.setup()
from shoal.placement.strategies import HASH
print([HASH.bucket(text) for text in sys.argv[1:]])
"""


def test_every_process_puts_a_text_on_the_same_shard() -> None:
    """`hash(str)` differs from process to process."""
    found = set()
    for seed in ("0", "1", "2", "random"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", HASHING, "de", "fr", "ü", ""],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert len(set(json.loads(found.pop()))) == 4


def test_a_model_without_a_shard_is_an_error_not_the_default(shop: str) -> None:
    """A sharded model without a hint went to `default`."""
    with pytest.raises(UnknownCluster) as caught:
        shard_of(CatalogTag, 1)
    assert str(caught.value) == (
        "catalog.Tag lives on 'catalog', which has no shards.\n"
        'Hint: Claim the model for a cluster with "SHARDS".'
    )
    with pytest.raises(MissingKey):
        Review.objects.create(stars=1)


def test_shards_need_no_replicas(shop: str) -> None:
    """A shard without a replica raised KeyError."""
    product_on(THIRD, name="a")
    assert Product.objects.get().name == "a"


# django-horizon


def test_exclude_by_the_key(shop: str) -> None:
    """`exclude(key=1)` returned nothing instead of the others."""
    made = everywhere("a", "b", "c", "d")
    left = Product.objects.exclude(pk=made[1].pk)
    assert sorted(row.name for row in left) == ["a", "c", "d"]
    review_on(FIRST, product=made[0], text="x")
    review_on(SECOND, product=made[1], text="y")
    assert Review.objects.exclude(product=made[1]).get().text == "x"
    assert Review.objects.filter(~Q(product=made[1])).get().text == "x"


def test_querysets_of_two_keys_put_together(shop: str) -> None:
    """`qs1 | qs2` lost one of the keys."""
    made = everywhere("a", "b", "c")
    one, other = (Product.objects.filter(pk=made[n].pk) for n in (0, 2))
    assert sorted(row.name for row in one | other) == ["a", "c"]
    assert list(one & other) == []
    assert sorted(row.name for row in one.union(other)) == ["a", "c"]


def test_a_read_writes_nothing(shop: str) -> None:
    """A read inserted rows into a directory."""
    made = everywhere("a", "b")
    wrote: list[str] = []

    def watch(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if str(sql).split()[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            wrote.append(sql)
        return execute(sql, params, many, context)

    for shard in SHARDS:
        connections[shard].execute_wrappers.append(watch)
    try:
        assert Product.objects.get(pk=made[0].pk).name == "a"
        assert not Product.objects.filter(pk=made[0].pk + 1).exists()
        assert Product.objects.count() == 2
    finally:
        for shard in SHARDS:
            connections[shard].execute_wrappers.remove(watch)
    assert wrote == []


def test_a_query_with_its_key_asks_one_server_once(shop: str) -> None:
    """Each operation asked the directory first."""
    there = product_on(SECOND, name="a")
    Product.objects.get(pk=there.pk)
    asked: list[str] = []

    def count(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        asked.append(context["connection"].alias)
        return execute(sql, params, many, context)

    for shard in SHARDS:
        connections[shard].execute_wrappers.append(count)
    try:
        Product.objects.get(pk=there.pk)
        Review.objects.filter(product=there).count()
    finally:
        for shard in SHARDS:
            connections[shard].execute_wrappers.remove(count)
    assert asked == [SECOND, SECOND]


# djanquiltdb


@on_postgresql
def test_a_transaction_that_cannot_be_committed_everywhere(shop: str) -> None:
    """All-or-nothing over shards committed a part."""
    there = product_on(SECOND)
    with pytest.raises(IntegrityError):
        break_at_the_end(there)
    assert names_on(FIRST) == []


def break_at_the_end(product: Product) -> None:
    with transaction.atomic(using=SHOP):
        product_on(FIRST, name="a")
        # Its category is nowhere: PostgreSQL finds that out when it commits.
        assert Product.objects.filter(pk=product.pk).update(category_id=7) == 1


def test_the_block_of_a_shard_is_seen_in_coroutines_and_does_not_leak(
    shop: str,
) -> None:
    """The shard of a context was invisible to the ORM there, and leaked to others."""
    for shard in SHARDS:
        product_on(shard, name=shard)

    async def one(shard: str) -> list[str]:
        async with on_shard(SHOP, shard=shard):
            first = [row.name async for row in Product.objects.all()]
            second = await sync_to_async(names)()
        return first + second

    async def flow() -> list[Any]:
        import asyncio

        inside = await asyncio.gather(*(one(shard) for shard in SHARDS))
        return [*inside, sorted([row.name async for row in Product.objects.all()])]

    found = async_to_sync(flow)()
    assert found == [*([shard] * 2 for shard in SHARDS), list(SHARDS)]


# django-multitenant


def test_no_key_is_not_every_key(shop: str) -> None:
    """No tenant, tenant 0 or an empty list all saw every row."""
    everywhere("a", "b", "c")
    for key in (None, 0):
        assert list(Product.objects.filter(pk=key)) == []
        assert list(Review.objects.filter(product=key)) == []
    assert list(Product.objects.filter(pk__in=[])) == []
    assert list(Product.objects.filter(pk__in=[None])) == []
    with pytest.raises(MissingKey), on_shard(SHOP, key=None, model=Product):
        raise AssertionError("not reached")
    with pytest.raises(RawQueryRefused), connections[SHOP].cursor() as cursor:
        cursor.execute("SELECT * FROM sharded_product")


def test_a_block_ends_with_an_error_too(shop: str) -> None:
    """The tenant of a request was never taken back."""
    everywhere("a", "b")
    with pytest.raises(ZeroDivisionError), on_shard(SHOP, shard=FIRST):
        _ = 1 / 0
    assert names() == ["a", "b"]


def test_using_and_hints_reach_the_query(shop: str) -> None:
    """A manager dropped `using` and hints."""
    everywhere("a", "b")
    assert names_on(SECOND) == ["b"]
    assert Product.objects.using(SECOND).all()._db == SECOND
    assert Product.objects.using(SECOND).get()._state.db == SECOND


# django-sharded, and horizontal_shard of SQLAlchemy


def test_order_and_slices_over_all_shards(shop: str) -> None:
    """Chained: `ORDER BY id DESC LIMIT 2` gave `[5, 2, 20, 11]`."""
    everywhere("d", "a", "c", "b", "f", "e")
    rows = Product.objects.order_by("name")
    assert [row.name for row in rows[:2]] == ["a", "b"]
    assert [row.name for row in rows[2:5]] == ["c", "d", "e"]
    assert [row.name for row in rows.reverse()[:2]] == ["f", "e"]
    assert (rows.first().name, rows.last().name) == ("a", "f")
    top = Product.objects.order_by("-pk")[:2].values_list("pk", flat=True)
    every = Product.objects.values_list("pk", flat=True)
    assert list(top) == sorted(every, reverse=True)[:2]


def test_aggregates_are_one_row(shop: str) -> None:
    """`COUNT(*)` gave a row for each shard."""
    made = everywhere("a", "b", "a", "c")
    assert Product.objects.count() == 4
    assert Product.objects.aggregate(n=Count("pk")) == {"n": 4}
    counted = Product.objects.values("name").annotate(n=Count("pk")).order_by("name")
    assert [(row["name"], row["n"]) for row in counted] == [
        ("a", 2),
        ("b", 1),
        ("c", 1),
    ]
    assert Product.objects.values("name").distinct().count() == 3
    assert Product.objects.in_bulk([made[1].pk, made[3].pk]).keys() == {
        made[1].pk,
        made[3].pk,
    }


def test_the_same_from_one_database(shop: str) -> None:
    everywhere("d", "a", "c", "b", "a", "e")
    copy_to_twin()
    for rows in (
        Product.objects.order_by("name", "pk")[1:4],
        Product.objects.order_by("-name", "-pk")[3:],
        Product.objects.values_list("name", flat=True).distinct().order_by("name"),
    ):
        assert list(rows.using(SHOP)) == list(rows.using(TWIN))


# Rails


def test_a_join_over_shards_is_one_query(shop: str) -> None:
    """Joins over clusters were left to repeated queries by hand."""
    made = everywhere("a", "b")
    review_on(FIRST, product=made[0], text="x")
    answer = review_on(SECOND, product=made[1], answers=Review.objects.get())
    assert Review.objects.get(answers__product__name="a") == answer
    found = Product.objects.get(reviews__answers__text="x")
    assert found.name == "b"


# The talk of 2010


def test_pages_show_all_shards_in_order(shop: str) -> None:
    """`count()` and the admin saw one shard, and lists weren't in order."""
    everywhere(*"hgfedcba")
    pages = Paginator(Product.objects.order_by("name"), 3)
    assert pages.count == 8
    shown = [[row.name for row in pages.page(number)] for number in pages.page_range]
    assert shown == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]


@with_ids("bucketed", "plain")
def test_what_belongs_together_is_deleted_together(shop: str) -> None:
    """A row and its copy were not deleted together."""
    category = Category.objects.create(name="a")
    made = everywhere("a", "b")
    for product in made:
        product.category = category
        product.save()
        review_on(FIRST, product=product)
        Stock.objects.create(product=product, shelf="s")
    category.delete()
    for shard in SHARDS:
        for model in (Category, Product, Review, Stock):
            assert not model.objects.using(shard).exists()


def test_a_row_is_unique_over_all_shards(shop: str) -> None:
    code = code_on(SECOND)
    Country.objects.create(code=code)
    with pytest.raises(IntegrityError):
        Country.objects.create(code=code)


# Django's own test case, on a sharded alias


class OnShopTests(TransactionTestCase):
    databases = frozenset({SHOP})
    __test__ = False

    def test_finds_nothing(self) -> None:
        assert names() == []
        everywhere("a", "b")
        assert names() == ["a", "b"]


def test_a_transaction_test_case_empties_every_shard(shop: str) -> None:
    everywhere("left over")
    for failures in (1, 0, 0):
        result = unittest.TestResult()
        OnShopTests("test_finds_nothing")(result)
        assert (len(result.failures), result.errors) == (failures, [])
    assert names() == []
