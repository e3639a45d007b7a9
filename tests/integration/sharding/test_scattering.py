"""
Queries that every shard answers a part of: the answer is that of one database, and
queries that no shard can answer apart are not scattered.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.db.models import (
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    Window,
)
from django.db.models.functions import Now, Random, Rank, TruncDate
from django.db.models.lookups import In

from tests.sharded.beside import rows_of, same
from tests.sharded.models import Book, Category, Product, Review, Stock
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP, TWIN

products, reviews = Product.objects, Review.objects


def by_pk(query: Any) -> Any:
    return query.order_by("pk")


best = reviews.filter(product=OuterRef("pk")).order_by("-stars", "pk")

some = reviews.filter(product=OuterRef("pk"))
"""For a subquery."""


def key_of(name: str) -> Any:
    return products.using(SHOP).filter(name=name).order_by("pk").first().pk


SCATTERED: dict[str, Callable[[], Any]] = {
    "no order": lambda: products.filter(active=True),
    "order": lambda: products.order_by("added", "pk"),
    "order down": lambda: products.order_by("-added", "-pk"),
    "nulls": lambda: products.order_by("price", "pk"),
    "nulls down": lambda: products.order_by("-price", "pk"),
    "nulls first": lambda: products.order_by(F("weight").asc(nulls_first=True), "pk"),
    "nulls last": lambda: products.order_by(F("weight").desc(nulls_last=True), "-pk"),
    "mixed": lambda: products.order_by("-active", "day", "-price", "pk"),
    "expression": lambda: products.order_by(F("price") * -1, "pk"),
    "not selected": lambda: products.order_by("-weight", "pk").values_list("name"),
    "slice": lambda: products.order_by("added", "pk")[:5],
    "page": lambda: products.order_by("-added", "pk")[7:12],
    "beyond": lambda: products.order_by("added")[100:],
    "none": lambda: products.filter(name="no"),
    "children": lambda: by_pk(Book.objects.filter(pages=3)),
    "joined": lambda: reviews.filter(product__active=True).order_by("-pk"),
    "related": lambda: reviews.select_related("product__category").order_by("pk"),
    "left join": lambda: products.order_by("reviews__stars", "pk", "reviews__pk"),
    "reference": lambda: by_pk(products.filter(category__name="x")),
    "exists": lambda: by_pk(
        products.filter(Exists(reviews.filter(product=OuterRef("pk"), stars=2)))
    ),
    "not exists": lambda: by_pk(products.exclude(reviews__stars=1)),
    "semi-join": lambda: by_pk(
        products.filter(pk__in=reviews.filter(stars__gt=1).values("product"))
    ),
    "anti-join": lambda: by_pk(
        products.exclude(pk__in=reviews.filter(stars__gt=1).values("product"))
    ),
    "subquery": lambda: by_pk(
        products.annotate(best=Subquery(best.values("stars")[:1]))
    ),
    "groups": lambda: products.annotate(n=Count("reviews")).order_by("-n", "pk"),
    "having": lambda: by_pk(products.annotate(n=Count("reviews")).filter(n__gt=1)),
    "groups of a key": lambda: (
        reviews.values("product")
        .annotate(n=Count("pk"), s=Sum("stars"))
        .order_by("product")
    ),
    "distinct": lambda: by_pk(products.filter(reviews__stars__gt=0).distinct()),
    "window": lambda: reviews.annotate(
        rank=Window(Rank(), partition_by="product", order_by="-pk")
    ).order_by("pk"),
    "count": lambda: products.count(),
    "count of some": lambda: products.filter(reviews__stars=1).count(),
    "count of distinct": lambda: (
        products.filter(reviews__stars__gt=0).distinct().count()
    ),
    "count of groups": lambda: (
        products.annotate(n=Count("reviews")).filter(n__gt=1).count()
    ),
    "exists at all": lambda: products.filter(name="n3").exists(),
    "aggregate": lambda: products.aggregate(
        Sum("price"), Max("added"), Min("day"), n=Count("pk", filter=Q(active=True))
    ),
    "aggregate of none": lambda: products.filter(name="no").aggregate(
        Sum("price"), Max("added"), n=Count("pk")
    ),
    "aggregate with a default": lambda: products.filter(price__lt=1).aggregate(
        a=Sum("price", default=0), n=Count("pk")
    ),
    "aggregate of none with a default": lambda: products.filter(name="no").aggregate(
        a=Sum("price", default=0), b=Sum("weight", default=Value(0))
    ),
    "aggregate of groups": lambda: products.annotate(n=Count("reviews")).aggregate(
        Sum("n"), Max("n")
    ),
    "day": lambda: products.annotate(d=TruncDate("added")).order_by("-d", "pk"),
    "values that a subquery names": lambda: by_pk(
        products.annotate(e=Exists(some.filter(In(OuterRef("pk"), [key_of("n2")]))))
    ),
    "constant": lambda: products.annotate(one=Value(1)).order_by("one", "pk"),
}

ALL = "(SELECT COUNT(*) FROM sharded_product)"

GATHERED: dict[str, Callable[[], Any]] = {
    "other column": lambda: by_pk(products.filter(rival__active=True)),
    "through a reference": lambda: by_pk(
        products.filter(category__products__active=True).distinct()
    ),
    "reference first": lambda: by_pk(Category.objects.annotate(n=Count("products"))),
    "not of its key": lambda: by_pk(
        products.filter(Exists(reviews.filter(stars=1, product=OuterRef("rival"))))
    ),
    "of nothing": lambda: by_pk(products.filter(Exists(reviews.filter(stars=2)))),
    "window over all": lambda: by_pk(
        products.annotate(n=Window(Count("pk"), partition_by="category"))
    ),
    "slice of a subquery": lambda: by_pk(
        products.filter(pk__in=reviews.order_by("pk").values("product")[:3])
    ),
    "a NULL among the others": lambda: by_pk(
        products.exclude(pk__in=products.filter(name="n3").values("reviews__product"))
    ),
    "a NULL that is compared": lambda: by_pk(
        products.annotate(reviewed=F("reviews__product")).exclude(
            reviewed__in=reviews.filter(stars=3).values("product")
        )
    ),
    "SQL in a function": lambda: by_pk(
        products.annotate(n=Func(template=ALL, output_field=IntegerField()))
    ),
    "SQL in an aggregate": lambda: products.aggregate(
        n=Count("active", template="%(function)s(DISTINCT %(expressions)s)")
    ),
    # Of exact numbers: the last digit of others' sum is a matter of their order.
    "another function": lambda: products.aggregate(n=Sum("price", function="AVG")),
    "another function with a default": lambda: products.aggregate(
        n=Sum("weight", function="MAX", default=0)
    ),
    "the clock": lambda: by_pk(products.filter(added__lt=Now())),
    "chance": lambda: products.annotate(r=Random() * 0).order_by("r", "pk"),
}


AT_HOME: dict[str, Callable[[], Any]] = {
    "texts": lambda: products.order_by("-name", "pk")[3:9],
    "several columns": lambda: Stock.objects.order_by("-pk"),
    "several columns not selected": lambda: Stock.objects.order_by(
        "amount", "pk"
    ).values_list("amount", "product"),
    "union": lambda: products.filter(active=True).union(products.filter(price=1)),
    "a slice's count": lambda: products.order_by("added")[:5].count(),
}
"""What Python may not merge as the server does, so that the home server has to."""


@pytest.mark.parametrize("name", SCATTERED)
def test_each_shard_answers_its_part(goods: str, asked: Any, name: str) -> None:
    event, found = asked(SCATTERED[name])
    assert event == "query_scattered"
    assert same(SCATTERED[name], found)


@pytest.mark.parametrize("name", GATHERED)
def test_shards_do_not_work_apart(goods: str, asked: Any, name: str) -> None:
    if goods == "mariadb" and name == "slice of a subquery":
        pytest.skip("MariaDB has no slices in subqueries.")
    event, found = asked(GATHERED[name])
    assert event == "query_gathered"
    assert same(GATHERED[name], found)


NOWHERE: dict[str, Callable[[], Any]] = {
    "rows": lambda: with_two_keys(),
    "slice": lambda: with_two_keys().order_by("price")[1:3],
    "number": lambda: with_two_keys().count(),
    "aggregate": lambda: with_two_keys().aggregate(Sum("price"), n=Count("pk")),
    "groups": lambda: with_two_keys().annotate(n=Count("reviews")),
    "at all": lambda: with_two_keys().exists(),
}


def with_two_keys() -> Any:
    one = products.filter(pk__in=reviews.values("product"), pk=key_of("n1"))
    return one.filter(pk=key_of("n2"))


@pytest.mark.parametrize("name", NOWHERE)
def test_a_row_cannot_have_two_keys(goods: str, name: str) -> None:
    assert same(NOWHERE[name], rows_of(NOWHERE[name], SHOP))


def test_a_plan_is_for_the_condition_that_it_was_made_for(goods: str) -> None:
    """The SQL is the same, but the condition with the key is not the same node."""
    low, key = products.using(SHOP).order_by("pk")[0].pk, key_of("n6")
    for first in ({}, {}, {"pk__in": []}):
        rows = products.using(SHOP).exclude(**first) if first else products.using(SHOP)
        assert [row.pk for row in rows.filter(Q(pk__gte=low), Q(pk=key))] == [key]


def test_a_composite_key_before_what_rows_are_ordered_by(goods: str) -> None:
    def made() -> Any:
        rows = Stock.objects.annotate(n=F("product_id") % 7)
        return rows.values_list("pk", "n").order_by("n", "pk")

    assert same(made, rows_of(made, SHOP))


@pytest.mark.parametrize("name", AT_HOME)
def test_the_home_server_merges(goods: str, asked: Any, name: str) -> None:
    event, found = asked(AT_HOME[name])
    assert event == "query_scattered"
    assert same(AT_HOME[name], found)


def test_only_shards_with_a_key_are_asked(goods: str, asked: Any) -> None:
    some = [product_on(shard).pk for shard in SHARDS[1:3]]
    with transaction.atomic(using=SHOP):
        _, found = asked(lambda: products.filter(pk__in=some))
        assert {row.pk for row in found} == {*some}
        has_joined = connections[SHOP].transaction.has_joined
        assert [shard for shard in SHARDS if has_joined(shard)] == [*SHARDS[1:3]]


def test_sees_what_the_transaction_has_written(goods: str, asked: Any) -> None:
    with transaction.atomic(using=SHOP):
        count = products.using(SHOP).count()
        product_on(SHARDS[2], name="new")
        assert products.using(SHOP).count() == count + 1
        event, found = asked(lambda: products.filter(name="new"))
        assert (event, len(found)) == ("query_scattered", 1)
        transaction.set_rollback(True, using=SHOP)
    assert products.using(SHOP).count() == count


def test_a_stream_is_merged_as_it_comes(goods: str) -> None:
    rows = products.using(SHOP).order_by("-added", "pk")
    assert list(rows.iterator(chunk_size=2)) == list(rows)
    begun = rows.iterator(chunk_size=2)
    assert next(begun) == rows[0]
    begun.close()
    assert products.using(SHOP).count() == 25


def test_an_error_of_a_shard_names_it(goods: str) -> None:
    if goods != "postgresql":
        pytest.skip("One kind of server is enough.")
    table = "sharded_product"
    with connections[SHARDS[2]].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME COLUMN weight TO heft")
    try:
        with pytest.raises(Exception, match="On the shard 'shop_2'"):
            list(products.using(SHOP))
        assert products.using(SHOP).count() == 25
    finally:
        with connections[SHARDS[2]].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} RENAME COLUMN heft TO weight")


def test_other_shards_are_stopped_where_one_fails(goods: str) -> None:
    """Three would sleep for a minute."""
    if goods == "sqlite":
        pytest.skip("SQLite does not sleep.")
    from shoal.sharding.side_by_side import Asked, ask

    there = [connections[shard] for shard in SHARDS]
    asked = [Asked(alias=c.alias, connection=c, cursor=c.cursor()) for c in there]
    sleep = "SELECT pg_sleep(%s)" if goods == "postgresql" else "SELECT SLEEP(%s)"
    fail = asked[2].cursor
    for one in asked:
        one.connection.ensure_connection()

    class Fails:
        def execute(self, sql: str, params: Any) -> None:
            raise OperationalError("lost")

    asked[2] = Asked(alias=SHARDS[2], connection=there[2], cursor=Fails())
    begun = time.monotonic()
    with pytest.raises(OperationalError, match="On the shard 'shop_2': lost"):
        ask(asked[1:], sleep, [60])
    assert time.monotonic() - begun < 30
    fail.execute("SELECT 1")


def test_chance_orders_rows(goods: str, asked: Any) -> None:
    event, found = asked(lambda: products.order_by("?"))
    assert event == "query_scattered"
    assert {row.pk for row in found} == {
        *products.using(TWIN).values_list("pk", flat=True)
    }
    orders = {
        tuple(products.using(SHOP).order_by(Random()).values_list("pk", flat=True)[:9])
        for _ in range(9)
    }
    assert len(orders) > 1
    assert all(len(order) == len({*order}) == 9 for order in orders)


def test_chance_is_fair_to_rows_of_small_shards(shop: str) -> None:
    """A row alone on its shard is not drawn more often than one among many."""
    alone = product_on(SHARDS[0]).pk
    for _ in range(19):
        product_on(SHARDS[1])
    drawn = [products.using(SHOP).order_by("?")[0].pk for _ in range(200)]
    # 10 are expected; 100 if each shard were as likely as the other.
    assert drawn.count(alone) < 40


def test_chance_elsewhere_is_gathered(goods: str, asked: Any) -> None:
    for made in (
        lambda: products.annotate(r=Random()).order_by("?").only("pk"),
        lambda: products.values("name").distinct().order_by("?"),
        lambda: products.order_by("?").annotate(n=Count("reviews")),
    ):
        event, _ = asked(made)
        assert event == "query_gathered"
