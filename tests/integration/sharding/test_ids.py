"""Primary keys of rows on a sharded alias: unique over all, and in the right bucket."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connections

from shoal.errors import DeclarationError, KeyMismatch, KeyTypeError, MissingKey
from shoal.placement import shard_of
from shoal.placement.buckets import BUCKETS
from shoal.sharding import new_ids
from tests.sharded.fixtures import with_ids
from tests.sharded.models import (
    Author,
    Book,
    Category,
    Country,
    Product,
    Review,
    Stock,
    Tag,
)
from tests.sharded.places import code_on, product_on, review_on
from tests.sharded.shop import SHARDS, SHOP
from tests.sharded.stored import misplaced

FIRST, SECOND, THIRD, _ = SHARDS
both = with_ids("bucketed", "plain")


def test_an_id_carries_the_bucket_of_its_key(shop: str) -> None:
    for shard in SHARDS:
        review = review_on(shard)
        assert review.pk % BUCKETS == review.product_id % BUCKETS
        assert Review.objects.using(shard).get().pk == review.pk
        assert shard_of(Review, review.product_id) == shard


@with_ids("plain")
def test_plain_ids_count_on_over_all_shards(shop: str) -> None:
    tags = [Tag.objects.using(SHOP).create(name="a") for _ in range(20)]
    first = tags[0].pk
    assert [tag.pk for tag in tags] == list(range(first, first + 20))
    assert misplaced() == []
    used = {shard_of(Tag, tag.pk) for tag in tags}
    assert len(used) > 1


@both
def test_a_reference_row_has_the_same_id_everywhere(shop: str) -> None:
    row = Category.objects.using(SHOP).create(name="a")
    for shard in SHARDS:
        assert Category.objects.using(shard).get().pk == row.pk


@both
def test_threads_never_get_the_same(shop: str) -> None:
    product = product_on(SECOND)

    def create(_: int) -> list[int]:
        try:
            return [
                Review.objects.using(SHOP).create(product=product).pk for _ in range(5)
            ]
        finally:
            connections.close_all()

    # SQLite lets one connection write at a time.
    workers = 1 if shop == "sqlite" else 4
    with ThreadPoolExecutor(workers) as pool:
        found = [pk for pks in pool.map(create, range(8)) for pk in pks]
    assert len(set(found)) == len(found) == 40
    assert Review.objects.using(SHOP).count() == 40


@both
def test_ids_go_on_above_one_that_was_given(shop: str) -> None:
    last = Tag.objects.using(SHOP).create(name="a").pk
    given = last + 10 * BUCKETS
    Tag.objects.using(SHOP).create(pk=given, name="b")
    for _ in range(3):
        assert Tag.objects.using(SHOP).create(name="c").pk > given


@both
def test_an_id_near_the_end_of_its_column_is_nobodys_next(shop: str) -> None:
    before = Tag.objects.using(SHOP).create(name="a").pk
    Tag.objects.using(SHOP).create(pk=2**63 - 5, name="b")
    after = Tag.objects.using(SHOP).create(name="c").pk
    assert before < after < before + 2000 * BUCKETS


def test_new_rows_are_spread_over_all_shards(shop: str) -> None:
    made = [Tag.objects.using(SHOP).create(name="a") for _ in range(8)]
    assert {shard_of(Tag, tag.pk) for tag in made} == {*SHARDS}


def test_an_id_that_does_not_fit_its_key_is_refused(shop: str) -> None:
    product = product_on(SECOND)
    wrong = product.pk + 1
    with pytest.raises(KeyMismatch) as caught:
        Review.objects.using(SHOP).create(pk=wrong, product=product)
    bucket = product.pk % BUCKETS
    assert str(caught.value) == (
        f"sharded.Review: id {wrong} belongs to bucket {bucket + 1}, but the key "
        f"(product_id) to bucket {bucket}.\n"
        "Hint: Leave id out, and the row gets one that fits its key."
    )
    assert isinstance(caught.value, IntegrityError)
    assert Review.objects.using(SHOP).count() == 0


def test_a_row_without_its_key(shop: str) -> None:
    with pytest.raises(MissingKey) as caught:
        Review.objects.using(SHOP).create(stars=1)
    assert str(caught.value) == (
        "sharded.Review.product is None, but it is the key of its row.\n"
        "Hint: Give it a value: without one, no shard is the row's own."
    )
    with pytest.raises(MissingKey):
        shard_of(Review, None)


def test_a_key_of_the_wrong_type(shop: str) -> None:
    with pytest.raises(KeyTypeError) as caught:
        shard_of(Review, "many")
    assert str(caught.value) == (
        "sharded.Review.product is 'many', which cannot be a key.\n"
        "Hint: Its keys are each a whole number, known before the row is sent."
    )
    for model, key in ((Author, "no uuid"), (Stock, 5), (Product, 2**63)):
        with pytest.raises(KeyTypeError):
            shard_of(model, key)
    with pytest.raises(ValueError, match="expected a number"):
        Product.objects.using(SHOP).get(pk="many")


@both
def test_every_kind_of_key_lies_where_shard_of_says(shop: str) -> None:
    for number in range(12):
        product = Product.objects.using(SHOP).create(name=str(number))
        book = Book.objects.using(SHOP).create(name="b", pages=number)
        assert book.product_ptr_id == book.pk
        Author.objects.using(SHOP).create(id=uuid.UUID(int=number), name="a")
        Stock.objects.using(SHOP).create(product=product, shelf=f"s{number}")
        Review.objects.using(SHOP).create(product=book)
    for shard in SHARDS:
        Country.objects.using(SHOP).create(code=code_on(shard), name="c")
    assert misplaced() == []
    for model in (Product, Book, Author, Stock, Country, Review):
        for row in model.objects.using(SHOP).all():
            key = row.product_id if model is Review else row.pk
            shard = shard_of(model, key)
            assert model.objects.using(shard).filter(pk=row.pk).exists()
            assert model.objects.using(SHOP).get(pk=row.pk) == row


# bulk_create


def reviews(count: int = 9) -> list[Review]:
    """Return reviews that go to all shards in turn."""
    products = [product_on(SHARDS[number % 4]) for number in range(count)]
    return [
        Review(product=product, stars=stars) for stars, product in enumerate(products)
    ]


@both
@pytest.mark.parametrize("options", [{}, {"batch_size": 2}])
def test_bulk_create_gives_the_ids_in_order(shop: str, options: dict[str, Any]) -> None:
    made = Review.objects.using(SHOP).bulk_create(reviews(), **options)
    assert len({one.pk for one in made} - {None}) == 9
    for one in made:
        there = Review.objects.using(SHOP).get(pk=one.pk)
        assert (there.stars, there.product_id) == (one.stars, one.product_id)
    assert misplaced() == []


@both
def test_bulk_create_of_what_is_there_is_refused_as_a_whole(shop: str) -> None:
    taken = code_on(THIRD)
    Country.objects.using(SHOP).create(code=taken, name="old")
    rows = [Country(code=code_on(shard), name="new") for shard in SHARDS]
    with pytest.raises(IntegrityError):
        Country.objects.using(SHOP).bulk_create(
            [*rows, Country(code=taken, name="new")]
        )
    assert Country.objects.using(SHOP).get().name == "old"


@both
def test_bulk_create_ignoring_conflicts(shop: str) -> None:
    taken = code_on(THIRD)
    Country.objects.using(SHOP).create(code=taken, name="old")
    rows = [Country(code=code_on(shard), name="new") for shard in SHARDS]
    Country.objects.using(SHOP).bulk_create(
        [*rows, Country(code=taken, name="new")], ignore_conflicts=True
    )
    assert Country.objects.using(SHOP).count() == 5
    assert Country.objects.using(SHOP).get(code=taken).name == "old"


@both
def test_bulk_create_updating_conflicts(shop: str) -> None:
    codes = [code_on(shard) for shard in SHARDS]
    Country.objects.using(SHOP).create(code=codes[2], name="old")
    unique = {} if shop == "mariadb" else {"unique_fields": ["code"]}
    Country.objects.using(SHOP).bulk_create(
        [Country(code=code, name=code) for code in codes],
        update_conflicts=True,
        update_fields=["name"],
        **unique,
    )
    rows = Country.objects.using(SHOP).values_list("code", "name")
    assert sorted(rows) == sorted((code, code) for code in codes)


@both
def test_bulk_update(shop: str) -> None:
    made = Review.objects.using(SHOP).bulk_create(reviews())
    for one in made:
        one.stars = (one.stars or 0) * 10
        one.text = f"text {one.stars}"
    assert Review.objects.using(SHOP).bulk_update(made, ["stars", "text"]) == 9
    found = Review.objects.using(SHOP).order_by("stars").values_list("text", flat=True)
    assert list(found) == [f"text {number * 10}" for number in range(9)]


def test_an_id_is_not_used_again_in_another_thread(shop: str) -> None:
    tag = Tag.objects.using(SHOP).create(name="a")
    last = tag.pk
    tag.delete(using=SHOP)
    found: list[int] = []

    def create() -> None:
        try:
            found.append(Tag.objects.using(SHOP).create(name="b").pk)
        finally:
            connections.close_all()

    thread = threading.Thread(target=create)
    thread.start()
    thread.join()
    assert found[0] != last


@both
def test_a_thread_may_begin_with_the_alias_of_a_shard(shop: str) -> None:
    """What it inserts first has to get its id as everything after it does."""
    made: list[Any] = []

    def insert() -> None:
        try:
            made.append(Tag.objects.using(SECOND).create(name="a").pk)
            with pytest.raises(KeyMismatch):
                Country.objects.using(THIRD).create(code=code_on(FIRST), name="a")
        finally:
            connections.close_all()

    for _ in range(3):
        thread = threading.Thread(target=insert)
        thread.start()
        thread.join()
    assert [shard_of(Tag, pk) for pk in made] == [SECOND] * 3
    assert len(set(made)) == 3


def test_ids_for_rows_that_are_written_by_hand(shop: str) -> None:
    product, other = product_on(SECOND), product_on(THIRD)
    ids = new_ids(Review, [product.pk, other.pk, product.pk])
    assert [one % BUCKETS for one in ids] == [
        product.pk % BUCKETS,
        other.pk % BUCKETS,
        product.pk % BUCKETS,
    ]
    table = Review._meta.db_table
    with connections[SECOND].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (id, product_id, text) VALUES (%s, %s, '')",
            [ids[0], product.pk],
        )
    assert Review.objects.using(SHOP).get(pk=ids[0]).product_id == product.pk
    assert review_on(SECOND, product=product).pk // BUCKETS > ids[2] // BUCKETS
    assert new_ids(Review, []) == []


@with_ids("plain")
def test_plain_ids_for_rows_that_are_written_by_hand(shop: str) -> None:
    product = product_on(SECOND)
    first = review_on(SECOND, product=product).pk
    one, two = new_ids(Review, [product.pk, product.pk])
    assert first < one < two


def test_no_ids_without_a_key_to_follow(shop: str) -> None:
    for model in (Product, Country, Category):
        with pytest.raises(DeclarationError, match="gets no ids that follow a key"):
            new_ids(model, [1])
