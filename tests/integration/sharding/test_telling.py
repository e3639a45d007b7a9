"""What can be seen of the way of a statement: the log, and what each shard was sent."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Count, Q, Window
from django.test.utils import CaptureQueriesContext

from shoal.placement import on_shard
from tests.sharded.models import Author, Category, Product, Review
from tests.sharded.places import names, product_on, review_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, FOURTH = SHARDS


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Give a function that returns what was told since it was last called."""

    def told() -> list[Any]:
        records = [r for r in caplog.records if r.name == "shoal.sharding"]
        caplog.clear()
        return records

    with caplog.at_level(logging.DEBUG, logger="shoal.sharding"):
        yield told


def brief(record: Any) -> tuple[Any, ...]:
    return record.event, record.shards, record.because, record.columns


def test_a_query_on_one_shard_says_why_there(shop: str, told: Any) -> None:
    product = product_on(SECOND, name="a")
    review = review_on(SECOND, product=product)
    products, reviews = Product.objects.using(SHOP), Review.objects.using(SHOP)
    key = "sharded_review.product_id"
    for rows, shard, because, columns in [
        (reviews.filter(product=product), SECOND, "key", (key,)),
        (
            reviews.filter(product__pk=product.pk, product__name="a"),
            SECOND,
            "key",
            (key,),
        ),
        (reviews.filter(pk=review.pk), SECOND, "primary key", ("sharded_review.id",)),
        (products.filter(pk=product.pk), SECOND, "key", ("sharded_product.id",)),
        (Category.objects.using(SHOP).all(), FIRST, "reference", ()),
    ]:
        told()
        list(rows)
        (record,) = told()
        assert brief(record) == ("query_on_one_shard", (shard,), because, columns)
        assert record.cluster == SHOP
    with on_shard(SHOP, shard=THIRD):
        list(products)
    assert brief(told()[0])[1:3] == ((THIRD,), "on_shard")


def test_a_scattered_query_says_which_shards(shop: str, told: Any) -> None:
    found = [product_on(shard, name="a").pk for shard in (FIRST, THIRD)]
    products = Product.objects.using(SHOP)
    told()
    assert products.filter(name="a").count() == 2
    assert brief(told()[0]) == ("query_scattered", SHARDS, "no key", ())
    assert {row.pk for row in products.filter(pk__in=found)} == {*found}
    key = "sharded_product.id"
    expected = ("query_scattered", (FIRST, THIRD), "several keys", (key,))
    assert brief(told()[0]) == expected


def test_a_gathered_query_says_which_rows_from_where(shop: str, told: Any) -> None:
    one, two = (product_on(shard, name="a") for shard in (FIRST, THIRD))
    product_on(FOURTH, name="b")
    told()
    rows = Product.objects.using(SHOP).filter(name="a")
    assert [row.n for row in rows.annotate(n=Window(Count("pk")))] == [2, 2]
    (record,) = told()
    assert brief(record) == ("query_gathered", SHARDS, "no key", ())
    (table,) = record.tables
    assert table.table == "sharded_product"
    assert table.rows == {FIRST: 1, SECOND: 0, THIRD: 1, FOURTH: 0}
    assert table.where.endswith("= %s")
    assert (record.rows, record.home) == (2, FIRST)

    some = rows.filter(Q(pk=one.pk) | Q(pk=two.pk))
    list(some.annotate(n=Window(Count("pk"))))
    (record,) = told()
    shards, columns = (FIRST, THIRD), ("sharded_product.id",)
    assert brief(record) == ("query_gathered", shards, "several keys", columns)


def test_each_table_of_a_gathered_query_has_its_reason(shop: str, told: Any) -> None:
    author = Author.objects.using(SHOP).create(name="x")
    review_on(SECOND, author=author)
    told()
    rows = Author.objects.using(SHOP).filter(pk=author.pk)
    assert rows.annotate(n=Count("reviews")).get().n == 1
    (record,) = told()
    reasons = {table.table: table.because for table in record.tables}
    assert reasons == {"sharded_author": "key", "sharded_review": "no key"}
    assert record.because == "no key"
    assert record.rows == 2


def test_a_write_says_where(shop: str, told: Any) -> None:
    product = product_on(THIRD, name="a")
    told()
    Review.objects.using(SHOP).create(product=product)
    Category.objects.using(SHOP).create(name="c")
    Product.objects.using(SHOP).filter(pk=product.pk).update(name="b")
    Product.objects.using(SHOP).filter(name="b").update(name="c")
    found = [brief(one) for one in told() if one.event == "statement_writes"]
    assert found == [
        ("statement_writes", (THIRD,), "key", ("sharded_review.product_id",)),
        ("statement_writes", SHARDS, "reference", ()),
        ("statement_writes", (THIRD,), "key", ("sharded_product.id",)),
        ("statement_writes", SHARDS, "no key", ()),
    ]


def test_nothing_is_told_where_nobody_listens(
    shop: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="shoal.sharding"):
        product_on(THIRD, name="a")
        assert names() == ["a"]
    assert [r for r in caplog.records if r.name == "shoal.sharding"] == []


def test_the_log_of_a_shard_has_what_was_fetched_there(shop: str) -> None:
    product_on(THIRD, name="a")
    with CaptureQueriesContext(connections[SHOP]) as asked:  # noqa: SIM117
        with CaptureQueriesContext(connections[THIRD]) as fetched:
            assert Product.objects.using(SHOP).filter(name="a").count() == 1
    assert len(asked) == 1
    (query,) = fetched.captured_queries
    assert "sharded_product" in query["sql"]
    assert "a" in query["sql"].partition("WHERE")[2]


def test_a_statement_on_several_shards_is_one_in_the_log(shop: str) -> None:
    products = [product_on(shard, name="a") for shard in SHARDS]
    reviews = [Review(product=product) for product in products]
    for write in (
        lambda: Review.objects.using(SHOP).bulk_create(reviews),
        lambda: Category.objects.using(SHOP).create(name="c"),
        lambda: Product.objects.using(SHOP).update(name="b"),
        lambda: Review.objects.using(SHOP).all()._raw_delete(SHOP),
    ):
        with CaptureQueriesContext(connections[SHOP]) as asked:  # noqa: SIM117
            with CaptureQueriesContext(connections[FOURTH]) as sent:
                write()
        assert len(asked) == 1
        kinds = [query["sql"].split()[0] for query in sent]
        assert len([one for one in kinds if one in ("INSERT", "UPDATE", "DELETE")]) == 1


def test_execute_wrappers_of_a_shard_see_what_is_fetched_there(shop: str) -> None:
    product_on(SECOND, name="a")
    seen: list[tuple[str, Any]] = []

    def only_b(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("SELECT"):
            return execute(sql, params, many, context)
        seen.append((context["connection"].alias, tuple(params)))
        return execute(sql, ["b"], many, context)

    found = Product.objects.using(SHOP).filter(name="a")
    with connections[SECOND].execute_wrapper(only_b):
        assert found.count() == 0
        with transaction.atomic(using=SHOP):
            assert found.count() == 0
    assert found.count() == 1
    assert seen == [(SECOND, ("a",))] * 2


def test_a_wrapper_that_refuses_keeps_a_query_from_the_shard(shop: str) -> None:
    class Refused(Exception):
        pass

    def refuse(*args: Any) -> Any:
        raise Refused

    with connections[FOURTH].execute_wrapper(refuse), pytest.raises(Refused):
        names()
    assert names() == []
