"""What is written on the alias of one shard, where that shard alone would go wrong."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from shoal.errors import KeyChangeRefused
from shoal.placement import on_every_shard, on_shard
from tests.sharded.fixtures import with_ids
from tests.sharded.models import Category, Product, Review
from tests.sharded.places import names, product_on, review_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, _ = SHARDS


def categories() -> list[list[str]]:
    """Return the names that each shard has."""
    return [
        sorted(Category.objects.using(shard).values_list("name", flat=True))
        for shard in SHARDS
    ]


def saved_on(shard: str, row: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(using=shard)


def test_a_reference_table_stays_the_same_on_all_shards(shop: str) -> None:
    rows = Category.objects.using(SECOND)
    row = rows.create(name="a")
    assert categories() == [["a"]] * 4
    assert rows.update(name="b") == 1
    assert categories() == [["b"]] * 4
    saved_on(SECOND, row, name="c")
    assert categories() == [["c"]] * 4
    row.name = "d"
    assert rows.bulk_update([row], ["name"]) == 1
    assert categories() == [["d"]] * 4
    assert rows.filter(name="d").delete() == (1, {"sharded.Category": 1})
    assert categories() == [[]] * 4


def test_a_reference_table_is_part_of_the_transaction(shop: str) -> None:
    Category.objects.using(SHOP).create(name="a")
    with transaction.atomic(using=SHOP):
        Category.objects.using(SECOND).update(name="b")
        assert categories() == [["b"]] * 4
        transaction.set_rollback(True, using=SHOP)
    assert categories() == [["a"]] * 4


def test_a_filter_sees_the_rows_of_that_shard(shop: str) -> None:
    for name, shard in (("a", FIRST), ("b", SECOND)):
        category = Category.objects.using(SHOP).create(name=name)
        product_on(shard, category=category, name=name)
    rows = Category.objects.using(SECOND).filter(products__name__in=["a", "b"])
    assert rows.update(name="c") == 1
    assert categories() == [["a", "c"]] * 4


def test_rows_of_other_shards_keep_a_reference_row(shop: str) -> None:
    category = Category.objects.using(SHOP).create(name="a")
    product_on(FIRST, category=category)
    with pytest.raises(IntegrityError):
        Category.objects.using(SECOND).all().delete()
    assert categories() == [["a"]] * 4


def test_a_shard_can_be_mended_by_itself(shop: str) -> None:
    Category.objects.using(SHOP).create(name="a")
    with on_shard(SHOP, shard=SECOND):
        Category.objects.using(SECOND).update(name="b")
    assert categories() == [["a"], ["b"], ["a"], ["a"]]
    for block in (on_shard(SHOP, shard=FIRST), on_every_shard(SHOP)):
        with block:
            Category.objects.using(SECOND).update(name="c")
        assert categories() == [["c"]] * 4
        Category.objects.using(SHOP).update(name="a")


@with_ids("bucketed", "plain")
def test_a_row_is_not_given_the_key_of_another_shard(shop: str) -> None:
    there, other = product_on(SECOND), product_on(FIRST)
    review = review_on(SECOND, product=there, stars=1)
    rows = Review.objects.using(SECOND)
    for write in (
        lambda: rows.update(product=other),
        lambda: rows.bulk_update([Review(pk=review.pk, product=other)], ["product"]),
        lambda: saved_on(SECOND, review, product=other),
    ):
        with pytest.raises(KeyChangeRefused):
            write()
    assert rows.get().product_id == there.pk
    saved_on(SECOND, review, product=there, stars=2)
    assert rows.update(product=there) == 1
    assert Review.objects.using(SHOP).get(product=there).stars == 2


def test_other_rows_are_written_where_they_are(shop: str) -> None:
    for shard in (FIRST, SECOND):
        product_on(shard, name=shard)
    assert Product.objects.using(SECOND).update(name="a") == 1
    assert names() == ["a", FIRST]
    assert Product.objects.using(FIRST).all().delete()[0] == 1
    assert names() == ["a"]
