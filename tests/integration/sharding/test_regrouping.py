"""
Groups and aggregates over rows of several shards: each shard puts its own together, and
the answer is made of what they send.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Lower, Round, TruncMonth

from shoal.errors import GatherTooLarge
from shoal.routing import unguarded
from tests.integration.sharding.test_gathering import limited
from tests.sharded.beside import rows_of, same
from tests.sharded.models import Category, Product, Review
from tests.sharded.shop import SHOP, TWIN, routed_to

products, reviews = Product.objects, Review.objects

REGROUPED: dict[str, Callable[[], Any]] = {
    "groups": lambda: (
        products.values("active").annotate(n=Count("pk")).order_by("active")
    ),
    "groups with a JSON value in a filter": lambda: (
        products.values("active")
        .annotate(n=Count("pk", filter=Q(data={"a": 1})))
        .order_by("active")
    ),
    "groups with a NULL": lambda: (
        products.values("price")
        .annotate(n=Count("*"), w=Max("weight"))
        .order_by("price")
    ),
    "groups of an expression": lambda: (
        products.annotate(month=TruncMonth("added"), low=Lower("name"))
        .values("month", "low")
        .annotate(n=Count("pk"), p=Sum("price"))
        .order_by("month", "low")
    ),
    "groups through a reference": lambda: (
        products.filter(category__isnull=False)
        .values("category__name", "category__rank")
        .annotate(n=Count("pk"))
        .order_by("category__name")
    ),
    "groups of joined rows": lambda: (
        products.values("name")
        .annotate(n=Count("reviews"), s=Sum("reviews__stars"), a=Avg("reviews__stars"))
        .order_by("name")
    ),
    "having": lambda: (
        products.values("name").annotate(n=Count("pk")).filter(n__gt=3).order_by("name")
    ),
    "having this or that": lambda: (
        products.values("name")
        .annotate(n=Count("pk"), p=Avg("price"))
        .filter(Q(n__lt=4) | Q(p__gt=0.5))
        .order_by("-n", "name")
    ),
    "a slice of groups": lambda: (
        products.values("name").annotate(n=Count("pk")).order_by("-n", "name")[1:4]
    ),
    "an order that is not selected": lambda: (
        products.values("name")
        .annotate(n=Count("pk"))
        .order_by("-n", "name")
        .values("name")
    ),
    "averages": lambda: (
        products.values("active")
        .annotate(Avg("price"), Avg("reviews__stars"))
        .order_by("active")
    ),
    "an average of what is mostly nothing": lambda: products.filter(
        weight__isnull=True
    ).aggregate(Avg("weight"), Sum("weight"), Count("weight"), Max("price")),
    "arithmetic over aggregates": lambda: products.aggregate(
        x=Sum("price") / Count("pk") + 1, y=Count("pk") / 2, z=Round(Avg("price"), 1)
    ),
    "arithmetic in groups": lambda: (
        products.values("active")
        .annotate(x=Count("pk") / 2, y=Sum("reviews__stars") / 2, z=F("x") * 2)
        .order_by("active")
    ),
    "distinct values": lambda: products.aggregate(
        a=Count("name", distinct=True),
        b=Sum("price", distinct=True),
        c=Avg("reviews__stars", distinct=True),
        d=Count("pk"),
        e=Sum("reviews__stars"),
    ),
    "distinct values of some": lambda: (
        products.values("active")
        .annotate(
            n=Count("name", distinct=True, filter=Q(price__gt=0)),
            m=Count("name", filter=Q(price__gt=0)),
        )
        .order_by("active")
    ),
    "distinct values of nothing": lambda: products.filter(name="no").aggregate(
        Count("name", distinct=True), Sum("price", distinct=True), Avg("price")
    ),
    "defaults": lambda: products.filter(name="no").aggregate(
        a=Sum("price", default=3), b=Avg("weight", default=0.5), c=Max("day")
    ),
    "a case in an aggregate": lambda: (
        products.values("active")
        .annotate(n=Sum(Case(When(price__gt=0, then=2), default=Value(1))))
        .order_by("active")
    ),
    "an aggregate in a case": lambda: (
        products.values("active")
        .annotate(n=Case(When(active=True, then=Count("pk")), default=Value(-1)))
        .order_by("active")
    ),
    "coalesced": lambda: (
        products.values("name")
        .annotate(p=Coalesce(Max("weight"), 9.5))
        .order_by("name")
    ),
    "equal rows": lambda: products.values_list("active").distinct().order_by("active"),
    "equal rows of an expression": lambda: (
        products.annotate(low=Lower("name"))
        .values_list("low")
        .distinct()
        .order_by("-low")
    ),
    "equal rows by what is not selected": lambda: (
        products.values_list("active")
        .order_by(F("price").desc(nulls_last=True), "active")
        .distinct()
    ),
    "equal rows with constants": lambda: (
        products.annotate(one=Value(1), word=Value("x"), two=Value(2))
        .values_list("one", "active", "word", "two")
        .distinct()
        .order_by("active")
    ),
    "equal rows with a subquery": lambda: (
        products.annotate(n=Exists(reviews.filter(product=OuterRef("pk"))))
        .values_list("n", "active")
        .distinct()
        .order_by("active", "n")
    ),
    "groups with constants": lambda: (
        products.annotate(two=Value(2), word=Value("x"))
        .values("two", "word", "active")
        .annotate(n=Count("pk"))
        .order_by("active")
    ),
    "a slice of equal rows": lambda: (
        products.values_list("price").distinct().order_by("-price")[1:3]
    ),
    "a quotient of averages": lambda: (
        products.filter(price__gt=0)
        .values("price")
        .annotate(x=F("price") / Avg("price"), y=2 / Avg("reviews__stars"))
        .order_by("price")
    ),
    "an average of more than integers have": lambda: products.aggregate(
        a=Avg(Case(When(active=True, then=2**62)), output_field=FloatField())
    ),
    "names of columns of the parts": lambda: (
        products.values("name", "active")
        .annotate(
            g0=Count("pk"), g1=Max("weight"), v0=Min("weight"), shoal_parts=Sum("price")
        )
        .order_by("-name", "active")
        .values_list("g0", "g1", "v0", "shoal_parts")
    ),
    "constants that are equal and not the same": lambda: products.aggregate(
        a=Sum(Case(When(active=True, then=1), default=2)) / 2,
        b=Sum(Case(When(active=True, then=1.0), default=2.0)) / 2,
    ),
    "scales of constants": lambda: products.aggregate(
        a=Sum(F("price") * Decimal("1.0")), b=Sum(F("price") * Decimal("1.000"))
    ),
    "equal constants": lambda: (
        products.annotate(one=Value(1)).values_list("one").distinct()
    ),
    "any row among equal ones": lambda: products.values("name").distinct().exists(),
    "equal rows with wrapped constants": lambda: (
        products.annotate(
            five=ExpressionWrapper(Value(5), output_field=IntegerField()),
            word=ExpressionWrapper(Value("x"), output_field=CharField()),
        )
        .values_list("five", "word", "active")
        .distinct()
        .order_by("active")
    ),
    "distinct constants": lambda: (
        products.values("active")
        .annotate(a=Count(Value(5), distinct=True), b=Count(Value("x"), distinct=True))
        .order_by("active")
    ),
    "groups of a condition": lambda: (
        products.values(x=Q(price__gt=0.5)).annotate(n=Count("pk")).order_by("x")
    ),
    "least and largest texts": lambda: products.aggregate(Min("name"), Max("name")),
    "filtered by a subquery": lambda: (
        products.filter(Exists(reviews.filter(product=OuterRef("pk"), stars__gt=1)))
        .values("active")
        .annotate(n=Count("pk"))
        .order_by("active")
    ),
}

GATHERED: dict[str, Callable[[], Any]] = {
    "a subquery in a group": lambda: (
        products.values("active")
        .annotate(
            n=Subquery(reviews.filter(product=OuterRef("rival")).values("stars")[:1])
        )
        .values("n")
        .annotate(c=Count("pk"))
        .order_by("n")
    ),
    "a deviation": lambda: products.filter(weight__isnull=False).aggregate(
        x=Round(StdDev("weight"), 6)
    ),
    "another function": lambda: products.aggregate(n=Sum("price", function="AVG")),
    "a reference first": lambda: (
        Category.objects.values("name").annotate(n=Count("products")).order_by("name")
    ),
    "rows that meet": lambda: (
        products.values("rival__name").annotate(n=Count("pk")).order_by("rival__name")
    ),
}


@pytest.mark.parametrize("name", REGROUPED)
def test_the_answer_is_made_of_parts(goods: str, asked: Any, name: str) -> None:
    if goods == "mariadb" and name == "groups of an expression":
        pytest.skip("The lab's MariaDB has no time zones.")
    event, found = asked(REGROUPED[name])
    assert event == "query_scattered"
    assert same(REGROUPED[name], found)


@pytest.mark.parametrize("name", ["scales of constants", "a quotient of averages"])
def test_decimals_have_the_scale_of_one_database(goods: str, name: str) -> None:
    made = REGROUPED[name]
    assert repr(rows_of(made, SHOP)) == repr(rows_of(made, TWIN))


@pytest.mark.parametrize("name", GATHERED)
def test_what_is_not_proven_is_gathered(goods: str, asked: Any, name: str) -> None:
    event, found = asked(GATHERED[name])
    assert event == "query_gathered"
    assert same(GATHERED[name], found)


OFTEN_GATHERED: dict[str, tuple[str, Callable[[], Any]]] = {
    "a number of another type": (
        "sqlite",
        lambda: (
            products.values("price")
            .annotate(n=Case(When(price=Decimal("0.5"), then=Count("pk")), default=-1))
            .filter(Q(n__gt=100) | Q(price__gt=Decimal("0.25")))
            .order_by("price")
        ),
    ),
    "sums of quotients": (
        "mariadb",
        lambda: products.aggregate(a=Avg(F("price") / 3), b=Sum(F("price") / 7)),
    ),
    "a value that is equal to no other": (
        "none",
        lambda: (
            products.values(k=Case(When(data={"a": 1}, then=1), default=2))
            .annotate(n=Count("pk"))
            .order_by("k")
        ),
    ),
}


@pytest.mark.parametrize("name", OFTEN_GATHERED)
def test_some_kinds_of_server_need_the_rows(goods: str, asked: Any, name: str) -> None:
    for number, product in enumerate(products.using(SHOP)):
        product.data = {"a": number % 2}
        for alias in (SHOP, TWIN):
            with unguarded(alias), routed_to(alias):
                product.save(using=alias, update_fields=["data"])
    where, made = OFTEN_GATHERED[name]
    event, found = asked(made)
    assert event == ("query_gathered" if goods == where else "query_scattered")
    assert same(made, found)


def test_groups_are_bounded(goods: str) -> None:
    grouped = products.using(SHOP).values("name").annotate(n=Count("pk"))
    with limited(5), pytest.raises(GatherTooLarge) as caught:
        list(grouped)
    assert str(caught.value) == (
        "A query over the shards of 'shop' makes more than MAX_GATHER_ROWS = 5 groups "
        "on them.\nHint: Filter further, group by the key, or raise MAX_GATHER_ROWS."
    )
    assert len(grouped) == 7


def test_too_many_groups_leave_a_transaction_as_it_was(goods: str) -> None:
    grouped = products.using(SHOP).values("name").annotate(n=Count("pk"))
    for limit in (1, 5, 13):
        with limited(limit), transaction.atomic(using=SHOP):
            with pytest.raises(GatherTooLarge) as caught:
                list(grouped)
            # Its frames are still there.
            assert caught.value.__traceback__
            products.using(SHOP).update(name="a")
            if limit > 3:
                found = list(grouped.all())
                assert found == [{"name": "a", "n": 25}]
            transaction.set_rollback(True, using=SHOP)


def test_types_are_those_of_one_database(goods: str) -> None:
    """Sums of sums would be of larger types."""
    found = (
        products.using(SHOP)
        .values("active")
        .annotate(n=Count("pk"), s=Sum("reviews__stars"), w=Sum("weight"))
    )
    for row in found:
        assert isinstance(row["n"], int)
        assert isinstance(row["s"], int)
        assert isinstance(row["w"], float)


def test_floats_are_added_in_another_order(goods: str) -> None:
    """So they may differ in the last digit, as they may on one database."""
    made = products.values("active").annotate(a=Avg("weight"), s=Sum("weight"))
    ours, theirs = (
        [
            (row["a"], row["s"])
            for row in rows_of(lambda: made.order_by("active"), alias)
        ]
        for alias in (SHOP, TWIN)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-14)
