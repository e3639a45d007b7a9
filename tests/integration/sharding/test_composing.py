"""Rows and groups that shards make, and of which the home server makes the answer."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import ProgrammingError, connections, transaction
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    DateTimeField,
    DecimalField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    Max,
    OuterRef,
    Q,
    StdDev,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import (
    Cast,
    Collate,
    Concat,
    Lower,
    RowNumber,
    Upper,
)

from shoal.errors import GatherTooLarge
from shoal.routing import unguarded
from tests.integration.sharding.test_gathering import limited
from tests.sharded.beside import rows_of, same
from tests.sharded.models import Author, Product, Review, Stock
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP, TWIN, routed_to

products, reviews = Product.objects, Review.objects
NOCASE = {"postgresql": "C", "mysql": "utf8mb4_general_ci", "sqlite": "NOCASE"}


def by_name() -> Any:
    return products.order_by("name", "pk")


def grouped() -> Any:
    return products.values("name").annotate(n=Count("pk"), s=Sum("price"))


def numbered() -> Any:
    return Window(RowNumber(), partition_by="product", order_by=["stars", "pk"])


ORDERED: dict[str, Callable[[], Any]] = {
    "texts": by_name,
    "texts, a slice": lambda: by_name()[2:7],
    "texts, backwards": lambda: by_name().reverse()[:5],
    "texts, the last": lambda: products.filter(active=True).order_by("name", "pk")[:1],
    "an expression": lambda: products.order_by(Lower("name").desc(), "-pk")[:9],
    "what is not selected": lambda: by_name().values_list("price")[:6],
    "nulls first": lambda: products.order_by(
        F("category__name").asc(nulls_first=True), "pk"
    ),
    "nulls last": lambda: products.order_by(
        F("category__name").desc(nulls_last=True), "pk"
    ),
    "a joined text": lambda: reviews.order_by("product__name", "-text", "pk")[3:15],
    "a constant": lambda: products.order_by(Value("a"), "name", "pk"),
    "an annotation": lambda: (
        products.annotate(x=Concat("name", Value("!"))).order_by("-x", "pk")[:4]
    ),
    "some columns": lambda: by_name().only("price")[:4],
    "values twice": lambda: by_name().values_list("name", "price", "name")[:4],
    "dictionaries": lambda: by_name().values("pk", "name", upper=Upper("name"))[:4],
    "related rows": lambda: reviews.select_related("product").order_by("text", "pk"),
    "groups by the key": lambda: (
        reviews.values("product")
        .annotate(most=Max("text"), n=Count("pk"))
        .order_by("-most", "product")[:5]
    ),
    "groups by the key, having": lambda: (
        reviews.values("product", "product__name")
        .annotate(n=Count("pk"))
        .filter(n__gt=1)
        .order_by("product__name", "product")
    ),
    "a window of the key": lambda: (
        reviews.annotate(k=numbered()).order_by("text", "pk")
    ),
    "with a subquery": lambda: (
        products.filter(Exists(reviews.filter(product=OuterRef("pk"), stars=2)))
        .order_by("name", "pk")[:3]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERED)
def test_rows_have_the_order_of_one_database(goods: str, asked: Any, name: str) -> None:
    event, found = asked(ORDERED[name])
    assert event == "query_scattered"
    assert found
    assert same(ORDERED[name], found)


def few() -> Any:
    return products.filter(active=True)


def cheap() -> Any:
    return products.filter(price__lt=1)


OF_OTHERS: dict[str, Callable[[], Any]] = {
    "union": lambda: few().union(cheap()),
    "union of all": lambda: few().union(cheap(), all=True).order_by("name", "pk"),
    "union of values": lambda: (
        few().values_list("name").union(cheap().values_list("name")).order_by("name")
    ),
    "union of other columns": lambda: (
        few().values_list("name", "price").union(reviews.values_list("text", "stars"))
    ),
    "union of three": lambda: few().union(cheap(), products.filter(weight=0)),
    "union of a union": lambda: few().union(cheap().union(products.filter(weight=0))),
    "union with none": lambda: few().union(products.none(), cheap()),
    "union with one shard": lambda: few().union(products.filter(pk=one_pk())),
    "union with groups": lambda: (
        few().values_list("name", "price")
        .union(grouped().values_list("name", "s")).order_by("name", "price")
    ),
    "union, a slice": lambda: few().union(cheap()).order_by("name", "-pk")[1:4],
    "union, limits of the parts": lambda: (
        few().values_list("name").distinct()
        .union(cheap().values_list("name", flat=False)).order_by("-name")
    ),
    "union, ordered by more than its columns": lambda: (
        few().union(cheap()).order_by("-name", "pk").values_list("price", "weight")
    ),
    "union with another model": lambda: (
        products.values_list("name").union(Author.objects.values_list("name"))
    ),
    "intersection": lambda: few().intersection(cheap()),
    "intersection of values": lambda: (
        few().values_list("name").intersection(cheap().values_list("name"))
    ),
    "difference": lambda: few().difference(cheap()),
    "difference of values": lambda: (
        products.values_list("category__name")
        .difference(few().values_list("category__name"))
    ),
    "number of a union": lambda: few().union(cheap()).count(),
    "number of a union of values": lambda: (
        few().values_list("name").union(cheap().values_list("name")).count()
    ),
    "number of groups": lambda: grouped().count(),
    "number of groups, having": lambda: grouped().filter(n__gt=3).count(),
    "number of different values": lambda: products.values("name").distinct().count(),
    "different values at all": lambda: products.values("weight").distinct().exists(),
    "number of a slice": lambda: by_name()[3:8].count(),
    "mean of numbers of groups": lambda: grouped().aggregate(a=Avg("n"), b=Max("s")),
    "sum of a slice": lambda: by_name()[:7].aggregate(s=Sum("price"), n=Count("pk")),
    "sum of different values": lambda: (
        products.values("name", "price").distinct().aggregate(s=Sum("price"))
    ),
    "deviation of numbers of groups": lambda: grouped().aggregate(d=StdDev("n")),
}  # fmt: skip


def one_pk() -> Any:
    return products.using(TWIN).order_by("pk")[4].pk


@pytest.mark.parametrize("name", OF_OTHERS)
def test_queries_are_made_of_others(goods: str, asked: Any, name: str) -> None:
    event, found = asked(OF_OTHERS[name])
    assert event == "query_scattered"
    assert same(OF_OTHERS[name], found)


@pytest.mark.parametrize("on", [["name"], ["category"], ["active", "name"], ["pk"]])
def test_the_first_row_of_each(goods: str, asked: Any, on: list[str]) -> None:
    if goods != "postgresql":
        pytest.skip("Only PostgreSQL has DISTINCT ON.")
    for made in (
        lambda: products.distinct(*on).order_by(*on, "-added", "pk"),
        lambda: products.distinct(*on).order_by(*on, "-added", "pk")[1:3],
        lambda: products.distinct(*on).order_by(*on, "name", "pk").values_list("price"),
        lambda: products.distinct(*on).order_by(*on, "name", "pk").count(),
    ):
        event, found = asked(made)
        assert event == "query_scattered"
        assert same(made, found)
    by_chance = [row.pk for row in products.using(SHOP).distinct(*on)]
    assert len(by_chance) == products.using(TWIN).distinct(*on).count()


FIRST: dict[str, Callable[[], Any]] = {
    "ordered by the second": lambda: (
        products.distinct("category", "active").order_by("active")
        .values_list("active", "category")
    ),
    "ordered by the second, a slice": lambda: (
        products.distinct("category", "active").order_by("active")[1:4]
        .values_list("active", "category")
    ),
    "of values in a document": lambda: (
        products.distinct("data__a", "data__b").order_by("data__a", "data__b", "pk")
    ),
    "of a relation": lambda: (
        reviews.distinct("product__name").order_by("-product__name", "-pk")
    ),
    "of an annotation": lambda: (
        products.annotate(x=Lower("name")).distinct("x").order_by("x", "-pk")[2:]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_the_first_row_of_each_in_some_order(goods: str, asked: Any, name: str) -> None:
    if goods != "postgresql":
        pytest.skip("Only PostgreSQL has DISTINCT ON.")
    for number, row in enumerate(products.using(SHOP)):
        row.data = {"a": number % 2, "b": number % 3}
        for alias in (SHOP, TWIN):
            with unguarded(TWIN), routed_to(alias):
                row.save(using=alias)
    _, found = asked(FIRST[name])
    assert found
    assert same(FIRST[name], found)


LONG = "x" * 70
MEETING: dict[str, Callable[[], Any]] = {
    "names in two cases": lambda: (
        products.annotate(x=Lower("name"), X=Upper("name")).order_by("name", "pk")
    ),
    "names in two cases, united": lambda: (
        few().annotate(x=Lower("name"), X=Upper("name")).values_list("x", "X")
        .union(cheap().annotate(x=Lower("name"), X=Value("")).values_list("x", "X"))
    ),
    "long names": lambda: (
        products.annotate(**{f"{LONG}a": Lower("name"), f"{LONG}b": Upper("name")})
        .order_by("name", "pk")[:3]
    ),
    "a name of its own": lambda: (
        products.annotate(Shoal_1=Lower("name")).order_by("name", "pk")
        .values_list("Shoal_1")
    ),
    "a wide row": lambda: (
        products.annotate(**{f"c{n}": Cast("name", CharField(max_length=255))
                             for n in range(80)})
        .order_by("name", "pk")[:2]
    ),
    "NULL before numbers": lambda: (
        few().values_list(Value(None, DecimalField()))
        .union(cheap().values_list("price"))
    ),
    "NULL after numbers": lambda: (
        reviews.values_list("stars", "pk")
        .union(few().values_list(Value(None, IntegerField()), "pk"))
    ),
    "NULL after times": lambda: (
        few().values_list("added")
        .union(cheap().values_list(Value(None, DateTimeField())))
    ),
    "NULL before texts": lambda: (
        few().values_list(Value(None, CharField())).union(cheap().values_list("name"))
    ),
    "NULL in another": lambda: (
        few().values_list("price")
        .union(cheap().values_list(ExpressionWrapper(Value(None), DecimalField())))
    ),
    "a text and a column": lambda: (
        few().values_list(Value("N1")).union(cheap().values_list("name"))
    ),
    "a text and a condition": lambda: (
        few().annotate(x=Case(When(price__gt=0, then=Value("n")), default=Value("o")))
        .values_list("x").union(cheap().values_list("name"))
    ),
    "two texts": lambda: (
        few().values_list(Value("a"), "pk").union(cheap().values_list(Value("b"), "pk"))
    ),
    "two collations": lambda: (
        few().annotate(x=Collate("name", NOCASE[connections[SHOP].vendor]))
        .values_list("x").union(cheap().values_list("name"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEETING)
def test_what_no_table_can_have(goods: str, asked: Any, name: str) -> None:
    """Names, and what takes its type of what it meets."""
    _, found = asked(MEETING[name])
    assert found
    assert same(MEETING[name], found)


def test_an_error_of_one_database(goods: str) -> None:
    if goods != "postgresql":
        pytest.skip("Others unite texts and numbers.")
    united = few().values_list("name").union(reviews.values_list("stars"))
    for alias in (SHOP, TWIN):
        with transaction.atomic(using=alias):
            with pytest.raises(ProgrammingError, match="cannot be matched"):
                list(united.using(alias))
            # The shards' own transactions are not broken.
            assert alias == TWIN or few().using(alias).exists()


@pytest.mark.parametrize("descending", [True, False])
def test_a_collation_orders(goods: str, asked: Any, descending: bool) -> None:
    for number, name in enumerate(["a", "B", "b", "A", "ä", "Z", "z ", "_", ""]):
        product_on(SHARDS[number % 4], name=name)
    names = products.using(SHOP).filter(name__in=["a", "B", "b", "A", "ä", "Z", "_"])
    collation = NOCASE[connections[SHOP].vendor]
    for order in (F("name"), Collate("name", collation)):
        made = order.desc() if descending else order.asc()
        found = [row.name for row in names.order_by(made, "pk")]
        assert found == sorted_on_one(names, made)


def sorted_on_one(names: Any, order: Any) -> list[str]:
    """Let one shard order the same rows."""
    rows = list(names.values("pk", "name"))
    with transaction.atomic(using=TWIN):
        with unguarded(TWIN):
            products.using(TWIN).all().delete()
            products.using(TWIN).bulk_create([Product(**row) for row in rows])
        found = products.using(TWIN).order_by(order, "pk")
        ordered = list(found.values_list("name", flat=True))
        transaction.set_rollback(True, using=TWIN)
    return ordered


def test_too_many_rows(goods: str) -> None:
    with limited(5):
        assert len(by_name().using(SHOP)[:1]) == 1
        if goods == "sqlite":
            assert len(by_name().using(SHOP)) > 5
            return
        with pytest.raises(GatherTooLarge) as caught:
            list(by_name().using(SHOP))
    assert str(caught.value) == (
        "A query over the shards of 'shop' makes more than MAX_GATHER_ROWS = 5 rows "
        "on them.\nHint: Slice or filter further, or raise MAX_GATHER_ROWS."
    )


def test_sees_what_its_transaction_has_written(goods: str) -> None:
    with transaction.atomic(using=SHOP):
        for shard in SHARDS:
            product_on(shard, name="!first")
        found = [row.name for row in by_name().using(SHOP)[:5]]
        assert found[:4] == ["!first"] * 4
        assert found[4] != "!first"
        assert few().union(cheap()).using(SHOP).count() == len(
            {*few().using(SHOP), *cheap().using(SHOP)}
        )
        transaction.set_rollback(True, using=SHOP)
    assert not products.using(SHOP).filter(name="!first").exists()


def test_a_composite_key_beside_a_text(goods: str, asked: Any) -> None:
    def made() -> Any:
        return Stock.objects.order_by("shelf", "-product")

    _, found = asked(made)
    assert same(made, found)
    assert rows_of(made, TWIN)


def test_conditions_on_both_sides(goods: str, asked: Any) -> None:
    def made() -> Any:
        either = few().filter(Q(name="n1") | Q(name="n3"))
        return either.union(cheap().exclude(name="n2")).order_by("-name", "pk")

    event, found = asked(made)
    assert event == "query_scattered"
    assert same(made, found)


def test_a_decimal_compares_as_declared(goods: str, asked: Any) -> None:
    """SQLite compares by the type of a column, of which a copy has none."""
    price = Q(price=Decimal("0.25"))
    for made in (
        lambda: products.distinct().aggregate(a=Avg(Case(When(price, then="weight")))),
        lambda: (
            products.values("price")
            .distinct()
            .aggregate(n=Count("price", filter=price))
        ),
        lambda: (
            products.values("price", "name")
            .annotate(s=Sum("price"))
            .aggregate(n=Count("s", filter=Q(s__gt=Decimal("0.2"))))
        ),
    ):
        event, found = asked(made)
        assert event == "query_scattered"
        assert same(made, found)
        assert set(found[0].values()) != {None, 0}


def test_existence_of_a_union_takes_a_row_of_each_shard(goods: str) -> None:
    of_two = products.using(SHOP).filter(pk__gt=0).union(products.filter(pk__lt=0))
    with limited(5):
        assert of_two.exists()
        with pytest.raises(GatherTooLarge):
            of_two.count()
    of_all = products.values_list(Value(1)).union(
        cheap().values_list(Value(1)), all=True
    )
    assert of_all.using(SHOP).count() == products.using(TWIN).count() + len(
        cheap().using(TWIN)
    )
