"""What was proven of a query holds of the next of its shape; its values do not."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections
from django.db.models import Count, ExpressionWrapper, FloatField, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.test import override_settings

from shoal.sharding import reading
from shoal.sharding.plans import MOST, Apart, Pinned, plans_of
from tests.sharded.models import Category, Holiday, Product, Review
from tests.sharded.places import product_on, review_on
from tests.sharded.shop import SHARDS, SHOP, setting

FIRST, SECOND, THIRD, _ = SHARDS


def plans(model: Any = Product) -> dict[str, Any]:
    return plans_of(model.objects.all().query, connections[SHOP].cluster)


@pytest.fixture
def proofs(shop: str) -> Iterator[Any]:
    """Count how often a query is taken apart; begin without any plan."""
    for model in (Product, Review, Category):
        plans(model).clear()
    with patch.object(reading, "note", wraps=reading.note) as note:
        yield lambda: note.call_count


def test_the_key_is_looked_at_each_time(proofs: Any) -> None:
    made = [product_on(shard) for shard in SHARDS]
    before = proofs()
    for product in made:
        assert Product.objects.using(SHOP).get(pk=product.pk) == product
    assert proofs() - before == 1
    (plan,) = plans().values()
    assert isinstance(plan, Pinned)


def test_a_list_of_keys_may_lead_to_one_shard_or_to_several(proofs: Any) -> None:
    one, other = product_on(FIRST), product_on(FIRST)
    far = product_on(THIRD)
    products = Product.objects.using(SHOP)
    for pair in ((one, other), (one, far), (far, other), (far, far), (one, other)):
        keys = [product.pk for product in pair]
        assert set(products.filter(pk__in=keys)) == {*pair}


def test_a_join_and_a_subquery_follow_the_key(proofs: Any) -> None:
    made = [review_on(shard, stars=n) for n, shard in enumerate(SHARDS)]
    before = proofs()
    for review in made:
        found = Review.objects.using(SHOP).filter(
            product=review.product_id, product__active=True
        )
        assert found.get() == review
        counted = Product.objects.using(SHOP).annotate(n=Count("reviews"))
        assert counted.get(pk=review.product_id).n == 1
    assert proofs() - before == 2


def test_what_is_merged_is_planned_once(proofs: Any) -> None:
    for number, shard in enumerate(SHARDS):
        product_on(shard, weight=number)
    before = proofs()
    products = Product.objects.using(SHOP)
    for least in (0, 2, 3):
        found = products.filter(weight__gte=least).order_by("-weight")
        assert [row.weight for row in found] == [*range(3, least - 1, -1)]
        assert found.all().count() == 4 - least
    assert proofs() - before == 2
    assert all(isinstance(plan, Apart) for plan in plans().values())
    assert [row.weight for row in products.order_by("weight")[1:3]] == [1, 2]
    assert [row.weight for row in products.order_by("weight")[1:3]] == [1, 2]
    assert [row.weight for row in products.order_by("weight")[2:3]] == [2]


def test_what_an_empty_sum_is_is_no_part_of_a_plan(proofs: Any) -> None:
    """A zero may be added once for each shard, other values not."""
    nothing = Product.objects.using(SHOP).filter(name="no")
    for default in (0, 5, 0.5, 0):
        found = nothing.aggregate(x=Sum("weight", default=default))
        assert found == {"x": default}


def test_an_order_by_other_values_is_proven_anew(proofs: Any) -> None:
    """One may be that of a column which is selected, another not."""
    for number, shard in enumerate(SHARDS):
        product_on(shard, weight=number or None)
    products = Product.objects.using(SHOP).annotate(x=Coalesce("weight", 9.5))
    for value, expected in ((9.5, [1, 2, 3, 9.5]), (1.5, [1, 9.5, 2, 3])):
        filled = Coalesce("weight", value)
        found = products.order_by(ExpressionWrapper(filled, output_field=FloatField()))
        assert [row.x for row in found] == expected


def test_a_value_that_is_no_plain_one_is_proven_anew(proofs: Any) -> None:
    one, other = product_on(FIRST), product_on(SECOND)
    products = Product.objects.using(SHOP)
    assert products.get(pk=one.pk) == one
    assert products.get(pk=Value(other.pk)) == other
    assert products.get(Q(pk=other.pk)) == other
    assert not products.filter(pk=other.pk + 4096).exists()


def test_a_table_at_home_is_no_part_of_a_plan(proofs: Any) -> None:
    """That one shard has all rows of it and of the key was chance."""
    Holiday.objects.using(SHOP).create(day="2024-01-01", name="a")
    days = Holiday.objects.using(SHOP).filter(name="a").values("day")
    for shard in SHARDS:
        product = product_on(shard, day="2024-01-01")
        found = Product.objects.using(SHOP).filter(pk=product.pk, day__in=days)
        assert found.get() == product


def test_another_setting_begins_anew(proofs: Any) -> None:
    product = product_on(SECOND)
    assert Product.objects.using(SHOP).get(pk=product.pk) == product
    assert plans()
    with override_settings(SHOAL=setting(MAX_GATHER_ROWS=5)):
        assert not plans()
        assert Product.objects.using(SHOP).get(pk=product.pk) == product


def test_plans_do_not_grow_without_end(proofs: Any) -> None:
    known = plans()
    known.update({f"SELECT {n}": None for n in range(MOST + 1)})
    assert plans() is known
    assert known == {}
