"""Queries over several shards: what they see, leave behind, and how much they take."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import Count, Func, IntegerField, Value, Window
from django.test import override_settings

from shoal.errors import GatherTooLarge, QueryRefused
from tests.sharded.fixtures import on_postgresql
from tests.sharded.models import Author, Category, Country, Product, Review
from tests.sharded.places import names, product_on, review_on
from tests.sharded.shop import SHARDS, SHOP, setting

FIRST, SECOND, THIRD, _ = SHARDS
TEMPORARY = {
    "postgresql": "SELECT relname FROM pg_class WHERE relpersistence = 't' "
    "AND relkind = 'r'",
    "mysql": "SELECT table_name FROM information_schema.tables "
    "WHERE table_type = 'TEMPORARY' AND table_schema = DATABASE()",
    "sqlite": "SELECT name FROM sqlite_master WHERE name LIKE 'sharded_%'",
}


def joined() -> list[Any]:
    """Run a query that no single shard can answer."""
    rows = Author.objects.using(SHOP).filter(reviews__product__name="a")
    return list(rows.annotate(n=Count("reviews")).values_list("name", "n"))


def temporary_tables() -> list[Any]:
    tables = connections[SHOP].scratch._tables
    if tables is None or tables.connection.connection is None:
        return []
    with tables.cursor() as cursor:
        cursor.execute(TEMPORARY[tables.connection.vendor])
        return list(cursor.fetchall())


def review(shard: str, name: str, **values: Any) -> Review:
    product = product_on(shard, name="a")
    author = Author.objects.using(SHOP).create(name=name)
    return review_on(shard, product=product, author=author, **values)


def test_leaves_no_tables_behind(shop: str) -> None:
    for shard in (FIRST, SECOND):
        review(shard, shard)
    assert sorted(joined()) == [(FIRST, 1), (SECOND, 1)]
    assert temporary_tables() == []
    assert sorted(joined()) == [(FIRST, 1), (SECOND, 1)]


def failing() -> Any:
    class Nonsense(Func):
        function = "no_such_function"
        output_field = IntegerField()

    return Author.objects.using(SHOP).annotate(x=Nonsense(Value(1)))


def test_leaves_no_tables_behind_after_an_error(shop: str) -> None:
    review(SECOND, "x")
    for _ in range(2):
        with pytest.raises(DatabaseError):
            list(failing())
        assert temporary_tables() == []
    assert joined() == [("x", 1)]


def test_an_error_in_a_transaction_leaves_the_shards_as_they_were(shop: str) -> None:
    with transaction.atomic(using=SHOP):
        review(SECOND, "x")
        with pytest.raises(DatabaseError):
            list(failing())
        assert temporary_tables() == []
        assert joined() == [("x", 1)]
    assert joined() == [("x", 1)]


def test_a_query_that_is_not_read_to_its_end(shop: str) -> None:
    for shard in SHARDS:
        product_on(shard, name=shard)
    rows = Product.objects.using(SHOP).order_by("name").iterator(chunk_size=1)
    assert next(rows).name == FIRST
    rows.close()
    assert temporary_tables() == []
    assert names() == list(SHARDS)


def test_two_queries_at_a_time(shop: str) -> None:
    for shard in SHARDS:
        product_on(shard, name=shard)
    outer = Product.objects.using(SHOP).order_by("name").iterator(chunk_size=1)
    found = [(row.name, len(names())) for row in outer]
    assert found == [(shard, 4) for shard in SHARDS]


def test_sees_the_writes_of_the_own_transaction(shop: str) -> None:
    review(SECOND, "before")
    with transaction.atomic(using=SHOP):
        review(FIRST, "first")
        review(THIRD, "third")
        Author.objects.using(SHOP).filter(name="before").update(name="changed")
        assert sorted(joined()) == [("changed", 1), ("first", 1), ("third", 1)]
        Review.objects.using(SHOP).filter(author__name="first").delete()
        assert sorted(joined()) == [("changed", 1), ("third", 1)]
        transaction.set_rollback(True, using=SHOP)
    assert joined() == [("before", 1)]


def test_sees_own_writes_to_tables_that_are_not_sharded(shop: str) -> None:
    with transaction.atomic(using=SHOP):
        category = Category.objects.using(SHOP).create(name="new")
        for shard in (FIRST, SECOND):
            product_on(shard, category=category, name="a")
        counted = Category.objects.using(SHOP).annotate(n=Count("products"))
        assert counted.values_list("name", "n").get() == ("new", 2)


@on_postgresql
def test_the_transaction_can_be_prepared_afterwards(shop: str) -> None:
    prepared = {shard: f"gathered_{shard}" for shard in (FIRST, SECOND)}
    with transaction.atomic(using=SHOP):
        for shard in prepared:
            review(shard, shard)
        assert len(joined()) == 2
        assert Product.objects.using(SHOP).filter(reviews__author=None).count() == 0
        for shard, name in prepared.items():
            with connections[shard].cursor() as cursor:
                cursor.execute(f"PREPARE TRANSACTION '{name}'")
        transaction.set_rollback(True, using=SHOP)
    elsewhere = threading.Thread(target=commit, args=[prepared])
    elsewhere.start()
    elsewhere.join()
    assert names() == ["a", "a"]


def commit(prepared: dict[str, str]) -> None:
    try:
        for shard, name in prepared.items():
            with connections[shard].cursor() as cursor:
                cursor.execute(f"COMMIT PREPARED '{name}'")
    finally:
        connections.close_all()


@contextlib.contextmanager
def limited(rows: int) -> Iterator[None]:
    connections[SHOP].close()
    with override_settings(SHOAL=setting(MAX_GATHER_ROWS=rows)):
        # The connection keeps the settings that it was made with.
        del connections[SHOP]
        yield
        connections[SHOP].close()
        del connections[SHOP]


def test_a_limit_on_how_much_is_gathered(shop: str) -> None:
    country = Country.objects.using(SHOP).create(code="de", name="a")
    for shard in (FIRST, SECOND, SECOND):
        review(shard, "x")
    Author.objects.using(SHOP).update(country=country)
    with limited(3):
        assert Product.objects.using(SHOP).filter(name="a").count() == 3
        with pytest.raises(GatherTooLarge) as caught:
            joined()
        assert temporary_tables() == []
        assert isinstance(caught.value, QueryRefused)
        message, _, hint = str(caught.value).partition("\n")
        assert message.startswith(
            "A query over the shards of 'shop' needs more than MAX_GATHER_ROWS = 3 "
            "rows (so far sharded_"
        )
        assert hint.endswith("so that one shard can answer, or raise MAX_GATHER_ROWS.")
    assert joined() == [("x", 1)] * 3


def test_the_limit_names_the_table_its_key_and_the_sizes(shop: str) -> None:
    for shard in (FIRST, SECOND, SECOND):
        product_on(shard, name="a")
    with limited(2):
        assert settings.SHOAL["CLUSTERS"][SHOP]["MAX_GATHER_ROWS"] == 2
        count = Window(Count("pk"))
        with pytest.raises(GatherTooLarge) as caught:
            list(Product.objects.using(SHOP).filter(name="a").annotate(n=count))
    assert str(caught.value) == (
        "A query over the shards of 'shop' needs more than MAX_GATHER_ROWS = 2 rows "
        "(so far sharded_product: 3).\n"
        "Hint: Filter sharded.Product by its key (id), so that one shard can answer, "
        "or raise MAX_GATHER_ROWS."
    )


def test_the_limit_does_not_matter_where_one_shard_answers(shop: str) -> None:
    there = product_on(SECOND, name="a")
    for number in range(3):
        review_on(SECOND, product=there, stars=number)
    with limited(1):
        of_one = Review.objects.using(SHOP).filter(product=there)
        assert [one.stars for one in of_one.order_by("stars")] == [0, 1, 2]


def test_an_update_counts_a_row_once_that_is_joined_often(shop: str) -> None:
    product = product_on(FIRST)
    far = product_on(SECOND, rival=product)
    Review.objects.using(SHOP).bulk_create(
        [Review(product=product, stars=n) for n in range(600)]
    )
    often = Product.objects.using(SHOP).filter(rival__reviews__stars__gte=0)
    assert often.count() == 600
    assert often.update(name="b") == 1
    far.refresh_from_db()
    assert far.name == "b"
