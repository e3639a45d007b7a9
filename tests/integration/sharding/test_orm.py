"""What ends in the ORM works on a sharded alias as on one database."""

import datetime
import io
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import MultipleObjectsReturned, ValidationError
from django.core.management import call_command
from django.core.paginator import Paginator
from django.db import connections, transaction
from django.db.models import Count, F, Prefetch

from shoal.errors import KeyChangeRefused
from shoal.placement import shard_of
from tests.sharded.fixtures import with_ids
from tests.sharded.goods import fill
from tests.sharded.models import (
    MODELS,
    Author,
    Book,
    Category,
    Cheap,
    Country,
    Holiday,
    Product,
    Review,
    Stock,
    Tag,
)
from tests.sharded.places import code_on, product_on, review_on
from tests.sharded.shop import SHARDS, SHOP, empty
from tests.sharded.stored import misplaced, stored

FIRST, SECOND, THIRD, _ = SHARDS
both = with_ids("bucketed", "plain")


def tags(count: int = 6) -> list[Tag]:
    return [Tag.objects.using(SHOP).create(name=str(n)) for n in range(count)]


def names_of(rows: Any) -> list[str]:
    return sorted(row.name for row in rows.all())


@both
def test_many_to_many_add_remove_set_clear(shop: str) -> None:
    product, other = product_on(SECOND, name="p"), product_on(FIRST, name="q")
    some = tags()
    product.tags.add(*some[:3])
    product.tags.add(some[0], some[3])
    other.tags.add(some[0])
    assert names_of(product.tags) == ["0", "1", "2", "3"]
    product.tags.remove(some[1])
    assert names_of(product.tags) == ["0", "2", "3"]
    product.tags.set([some[0], some[5]])
    assert names_of(product.tags) == ["0", "5"]
    assert names_of(some[0].products) == ["p", "q"]
    some[5].products.set([other])
    assert names_of(product.tags) == ["0"]
    some[0].products.clear()
    assert names_of(product.tags) == []
    assert names_of(other.tags) == ["5"]
    product.tags.create(name="new")
    assert names_of(product.tags) == ["new"]
    assert misplaced() == []
    product.tags.clear()
    assert Product.tags.through.objects.using(SHOP).count() == 1


@both
def test_many_to_many_of_a_reference_table(shop: str) -> None:
    category, some = Category.objects.using(SHOP).create(name="c"), tags(3)
    category.tags.set(some)
    category.tags.remove(some[1])
    assert names_of(category.tags) == ["0", "2"]
    assert names_of(some[2].categories) == ["c"]
    assert misplaced() == []


def test_get_or_create(shop: str) -> None:
    product = product_on(SECOND)
    rows = Review.objects.using(SHOP)
    made, is_new = rows.get_or_create(product=product, stars=3, defaults={"text": "a"})
    assert is_new
    again = rows.get_or_create(product=product, stars=3, defaults={"text": "b"})
    assert again == (made, False)
    by_other = rows.get_or_create(text="a", defaults={"product": product})
    assert by_other == (made, False)
    review_on(FIRST, text="a")
    with pytest.raises(MultipleObjectsReturned):
        rows.get_or_create(text="a")
    code = code_on(THIRD)
    assert Country.objects.using(SHOP).get_or_create(code=code)[1]
    assert not Country.objects.using(SHOP).get_or_create(code=code)[1]


def test_update_or_create(shop: str) -> None:
    product = product_on(SECOND)
    rows = Review.objects.using(SHOP)
    made, is_new = rows.update_or_create(product=product, defaults={"stars": 1})
    assert (is_new, made.stars) == (True, 1)
    changed, is_new = rows.update_or_create(product=product, defaults={"stars": 2})
    assert (is_new, changed.pk, changed.stars) == (False, made.pk, 2)
    changed, is_new = rows.update_or_create(stars=2, defaults={"stars": F("stars") + 1})
    changed.refresh_from_db(using=SHOP)
    assert (is_new, changed.pk, changed.stars) == (False, made.pk, 3)


@both
def test_deletes_follow_relations_over_all_shards(shop: str) -> None:
    category = Category.objects.using(SHOP).create(name="c")
    product = product_on(SECOND, name="p", category=category)
    stays = product_on(FIRST, name="stays", rival=product)
    fan = Author.objects.using(SHOP).create(name="fan", favourite=product)
    product.tags.set(tags(3))
    for shelf in "abc":
        Stock.objects.using(SHOP).create(product=product, shelf=shelf)
    review = review_on(SECOND, product=product, author=fan)
    answer = review_on(THIRD, product=stays, answers=review)
    count, per_model = category.delete()
    assert per_model == {
        "sharded.Category": 1,
        "sharded.Product": 1,
        "sharded.Product_tags": 3,
        "sharded.Stock": 3,
        "sharded.Review": 1,
    }
    assert count == 9
    for row in (stays, fan, answer):
        row.refresh_from_db(using=SHOP)
    assert (stays.rival, fan.favourite, answer.answers) == (None, None, None)
    assert Tag.objects.using(SHOP).count() == 3
    assert misplaced() == []


@both
def test_a_child_is_saved_and_deleted_with_its_parent(shop: str) -> None:
    book = Book.objects.using(SHOP).create(name="b", pages=1)
    book.name, book.pages = "c", 2
    book.save()
    found = Book.objects.using(SHOP).get(name="c", pages=2)
    assert found == book
    assert Product.objects.using(SHOP).get(pk=book.pk).book == book
    Book.objects.using(SHOP).filter(name="c").update(name="d", pages=3)
    book.refresh_from_db(using=SHOP)
    assert (book.name, book.pages) == ("d", 3)
    assert misplaced() == []
    Product.objects.using(SHOP).get(pk=book.pk).delete()
    assert not Book.objects.using(SHOP).exists()


def test_a_proxy_has_the_rows_of_its_model(shop: str) -> None:
    made = Cheap.objects.using(SHOP).create(name="a")
    assert Product.objects.using(SHOP).get().pk == made.pk
    assert Cheap.objects.using(SHOP).filter(pk=made.pk).delete()[0] == 1


@both
def test_pages_of_a_paginator(shop: str) -> None:
    for number in range(23):
        product_on(SHARDS[number % 4], name=f"{number:02}")
    pages = Paginator(Product.objects.using(SHOP).order_by("name"), 10)
    assert pages.count == 23
    assert [row.name for row in pages.page(3)] == ["20", "21", "22"]
    assert pages.page(2)[0].name == "10"


def test_rows_and_relations_know_their_alias(shop: str) -> None:
    product = product_on(SECOND, name="p")
    review = review_on(SECOND, product=product)
    found = Review.objects.get(pk=review.pk)
    assert found._state.db == SHOP
    assert found.product._state.db == SHOP
    assert found.product.reviews.get()._state.db == SHOP
    product.name = "changed"
    product.save()
    assert Product.objects.get().name == "changed"
    left_out = ("author", "answers", "stars", "text")
    review.full_clean(exclude=left_out)
    review.product_id = 5
    with pytest.raises(ValidationError, match="product"):
        review.full_clean(exclude=left_out)


def test_prefetches(shop: str) -> None:
    some = tags(4)
    for number, shard in enumerate(SHARDS):
        product = product_on(shard, name=str(number))
        product.tags.set(some[: number + 1])
        for stars in range(number):
            review_on(shard, product=product, stars=stars)
    best = Review.objects.using(SHOP).order_by("-stars")
    rows = Product.objects.using(SHOP).order_by("name")
    rows = rows.prefetch_related("tags", Prefetch("reviews", best, to_attr="best"))
    found = [(len(row.tags.all()), [one.stars for one in row.best]) for row in rows]
    assert found == [(1, []), (2, [0]), (3, [1, 0]), (4, [2, 1, 0])]


@both
def test_fixtures_can_be_dumped_and_loaded(shop: str, tmp_path: Any) -> None:
    fill()
    before = told()
    dumped = io.StringIO()
    call_command("dumpdata", "sharded", database=SHOP, stdout=dumped)
    empty()
    assert Product.objects.using(SHOP).count() == 0
    path = tmp_path / "rows.json"
    path.write_text(dumped.getvalue())
    call_command("loaddata", str(path), database=SHOP, verbosity=0)
    assert told() == before
    assert misplaced() == []
    taken = set(Tag.objects.using(SHOP).values_list("pk", flat=True))
    assert Tag.objects.using(SHOP).create(name="new").pk not in taken


def test_natural_order_of_a_home_table(shop: str) -> None:
    Holiday.objects.using(SHOP).create(day="2024-01-02", name="a")
    Holiday.objects.using(SHOP).create(day="2024-01-01", name="b")
    assert Holiday.objects.using(FIRST).count() == 2
    assert Holiday.objects.using(SECOND).count() == 0
    with pytest.raises(Holiday.DoesNotExist):
        Holiday.objects.using(SHOP).get(day="2025-01-01")


def test_flush(shop: str) -> None:
    fill()
    call_command("flush", database=SHOP, interactive=False, verbosity=0)
    assert {label: rows for label, rows in stored(SHOP).items() if rows} == {}
    product = product_on(SECOND, name="a")
    assert Product.objects.using(SHOP).get() == product


def test_rows_serialized_for_a_rollback(shop: str) -> None:
    fill()
    before = told()
    creation = connections[SHOP].creation
    text = serialized()
    call_command("flush", database=SHOP, interactive=False, verbosity=0)
    creation.deserialize_db_from_string(text)
    assert told() == before
    assert misplaced() == []


def told() -> dict[str, Any]:
    """Return what a fixture tells: not the ids of many-to-many tables, and no µs."""
    found = stored(SHOP)
    for label in ("sharded.Category_tags", "sharded.Product_tags"):
        found[label] = sorted(row[1:] for row in found[label])
    return {
        label: [[_to_ms(value) for value in row] for row in rows]
        for label, rows in found.items()
    }


def _to_ms(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


def serialized() -> str:
    """Serialize as Django does at the start; only apps with migrations count there."""
    rows = [row for model in MODELS for row in model._base_manager.using(SHOP)]
    return str(serializers.serialize("json", rows))


def test_a_group_over_all_shards(shop: str) -> None:
    category = Category.objects.using(SHOP).create(name="c")
    for shard in SHARDS:
        product = product_on(shard, category=category, name="same")
        review_on(shard, product=product, stars=2)
    grouped = Review.objects.using(SHOP).values("product__category__name")
    counted = grouped.annotate(n=Count("pk"), several=Count("product__name"))
    assert list(counted) == [{"product__category__name": "c", "n": 4, "several": 4}]


def test_a_row_whose_key_has_several_columns_does_not_move(shop: str) -> None:
    old, new = product_on(FIRST), product_on(THIRD)
    shelf = next(
        text
        for text in "abcdefghijklmnopqrstuvwxyz"
        if shard_of(Stock, (old.pk, text)) != shard_of(Stock, (new.pk, text))
    )
    stock = Stock.objects.using(SHOP).create(product=old, shelf=shelf, amount=3)
    with pytest.raises(KeyChangeRefused) as caught:
        Stock.objects.using(SHOP).filter(pk=stock.pk).update(product=new)
    assert str(caught.value) == (
        f"An update sets sharded.Stock.product to {new.pk}, so that rows would belong "
        "to another shard.\n"
        "Hint: Delete the rows, and create them anew with the other key."
    )
    assert Stock.objects.using(SHOP).get().product_id == old.pk
    assert misplaced() == []


@with_ids("plain")
def test_a_review_moves_to_another_product(shop: str) -> None:
    made = [product_on(shard) for shard in SHARDS]
    review = review_on(FIRST, product=made[0], stars=4)
    for product in made[1:]:
        review.product = product
        review.save()
        assert Review.objects.using(SHOP).get().product_id == product.pk
        assert misplaced() == []
    with transaction.atomic(using=SHOP):
        Review.objects.using(SHOP).update(product=made[0])
        transaction.set_rollback(True, using=SHOP)
    there = Review.objects.using(shard_of(Review, made[3].pk)).get()
    assert there.product_id == made[3].pk
