"""A key of several columns that are not the primary key."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Q
from django.test import override_settings

from shoal.errors import DeclarationError, KeyChangeRefused
from shoal.placement import on_shard, shard_of
from tests.sharded.fixtures import with_ids
from tests.sharded.models import Category, Product, Stock
from tests.sharded.places import product_on
from tests.sharded.shop import SHOP, setting

pytestmark = with_ids("bucketed", "plain")
KEYS = {"sharded.Product": ["category", "active"]}


@pytest.fixture
def category(shop: str, ids: str) -> Iterator[Any]:
    with override_settings(SHOAL=setting(IDS=ids, KEYS=KEYS)):
        yield Category.objects.using(SHOP).create(name="a")


@pytest.fixture
def product(category: Any) -> Any:
    return Product.objects.using(SHOP).create(category=category, name="a")


def shard_asked(rows: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """Return the only shard that was asked, `None` if several were."""
    caplog.clear()
    with caplog.at_level("DEBUG", logger="shoal.sharding"):
        list(rows)
    (record,) = (r for r in caplog.records if r.name == "shoal.sharding")
    event, shards = (vars(record)[name] for name in ("event", "shards"))
    return shards[0] if event == "query_on_one_shard" else None


def test_a_row_is_saved_again(product: Any) -> None:
    there = shard_of(Product, (product.category_id, True))
    product.name = "b"
    product.save()
    assert Product.objects.using(there).get().name == "b"
    assert Product.objects.using(SHOP).update(active=True) == 1
    Product.objects.using(SHOP).filter(pk=product.pk).update(category=product.category)
    assert Product.objects.using(there).get().active


def test_a_row_does_not_move(product: Any) -> None:
    key = product.category_id, True
    others = (Category.objects.using(SHOP).create(name="b") for _ in range(50))
    other = next(
        c for c in others if shard_of(Product, (c.pk, True)) != shard_of(Product, key)
    )
    product.category = other
    with pytest.raises(KeyChangeRefused):
        product.save()
    with pytest.raises(KeyChangeRefused):
        Product.objects.using(SHOP).update(category=other)
    assert Product.objects.using(shard_of(Product, key)).get().category_id == key[0]


def test_all_its_columns_tell_the_shard(
    product: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows, key = Product.objects.using(SHOP), product.category_id
    there = shard_of(Product, (key, True))
    assert shard_asked(rows.filter(category=key, active=True), caplog) == there
    nested = rows.filter(Q(category=key, name="a") & Q(active=True))
    assert shard_asked(nested, caplog) == there
    listed = rows.filter(category__in=[key], active__in=[True])
    assert shard_asked(listed, caplog) == there
    for some in (
        rows.filter(category=key),
        rows.filter(Q(category=key) | Q(active=True)),
        rows.filter(category=key).exclude(active=True),
    ):
        assert shard_asked(some, caplog) is None
    assert [row.pk for row in rows.filter(category=key, active=True)] == [product.pk]


def test_so_do_those_of_a_composite_primary_key(
    shop: str, caplog: pytest.LogCaptureFixture
) -> None:
    if shop == "mariadb":
        pytest.skip("Its default collation calls different texts equal.")
    product = product_on("shop_1")
    made = [Stock.objects.using(SHOP).create(product=product, shelf=s) for s in "ab"]
    rows = Stock.objects.using(SHOP)
    for row in made:
        found = rows.filter(product=product, shelf=row.shelf)
        assert shard_asked(found, caplog) == shard_of(Stock, row.pk)
        assert found.get().pk == row.pk


def test_a_key_that_others_cannot_read_tells_no_shard(category: Any) -> None:
    with pytest.raises(DeclarationError, match="does not tell a shard"):
        on_shard(SHOP, key=5)
    with pytest.raises(DeclarationError, match="does not tell a shard"):
        on_shard(SHOP, key=(5, True))
