"""Messages of a sharded cluster: each is on the shard of what it tells of."""

from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from shoal.errors import OutboxError
from shoal.placement import shard_of
from shoal.testing import TestCase, deliver_all
from shoal.transactions import outbox
from shoal.transactions.outbox.receiving import registered
from tests.sharded.fixtures import on_postgresql
from tests.sharded.models import Category, Holiday, Product, Review
from tests.sharded.shop import SHARDS


@pytest.fixture
def clean(shop: str) -> Iterator[str]:
    before, registered._by_topic = registered._by_topic, {}
    yield shop
    registered._by_topic = before
    for shard in SHARDS:
        with connections[shard].cursor() as cursor:
            if "shoal_message" in connections[shard].introspection.table_names():
                cursor.execute("DELETE FROM shoal_message")
                cursor.execute("DELETE FROM shoal_received")


def waiting() -> dict[str, int]:
    found = {}
    for shard in SHARDS:
        if "shoal_message" in connections[shard].introspection.table_names():
            with connections[shard].cursor() as cursor:
                cursor.execute("SELECT count(*) FROM shoal_message")
                found[shard] = cursor.fetchone()[0]
    return {shard: count for shard, count in found.items() if count}


def reviewed(name: str) -> Review:
    return Review.objects.create(product=Product.objects.create(name=name), stars=3)


def test_a_sharded_alias(clean: str) -> None:
    got = []

    @outbox.receiver("reviewed", cluster="shop")
    def reviewed_again(message: outbox.Message) -> None:
        review = Review.objects.get(pk=message.body)
        review.stars += 1
        review.save()
        got.append(message)

    reviews = [reviewed(f"product {n}") for n in range(16)]
    homes = [shard_of(Review, review.product_id) for review in reviews]
    assert len(set(homes)) > 1
    for review in reviews:
        with transaction.atomic(using="shop"):
            review.save()
            outbox.send("reviewed", review.pk, instance=review)
    assert waiting() == {home: homes.count(home) for home in homes}
    with transaction.atomic(using="shop"):
        reviews[0].save()
        # It has touched one shard.
        outbox.send("reviewed", reviews[0].pk)
        outbox.send("reviewed", reviews[0].pk, using="shop")
        outbox.send("reviewed", reviews[0].pk, using=homes[0])
        other = next(shard for shard in SHARDS if shard != homes[0])
        outbox.send("reviewed", reviews[0].pk, using=other)
        with pytest.raises(OutboxError, match="of the shards in its transaction"):
            outbox.send("reviewed", using="shop")
        transaction.set_rollback(True, using="shop")
    with pytest.raises(OutboxError, match="outside of a transaction on 'shop_"):
        outbox.send("reviewed", instance=reviews[0])
    tallies = outbox.deliver(SHARDS)
    assert sum(tally.delivered for tally in tallies.values()) == 16
    assert all(tally.is_well for tally in tallies.values())
    assert {m.using for m in got} == set(homes)
    assert set(Review.objects.values_list("stars", flat=True)) == {4}
    assert waiting() == {}


def test_in_a_testcase(clean: str) -> None:
    @outbox.receiver("reviewed", cluster="shop")
    def reviewed_again(message: outbox.Message) -> None:
        assert Review.objects.filter(pk=message.body).update(stars=4) == 1

    class Case(TestCase):
        databases = frozenset({"shop", *SHARDS})

        def test(self) -> None:
            for number in range(4):
                review = reviewed(f"product {number}")
                with transaction.atomic(using="shop"):
                    outbox.send("reviewed", review.pk, instance=review)
            assert len(deliver_all()) == 4
            assert set(Review.objects.values_list("stars", flat=True)) == {4}

    Case.setUpClass()
    try:
        case = Case("test")
        result = case.defaultTestResult()
        case(result)
    finally:
        Case.tearDownClass()
        Case.doClassCleanups()
    assert [*result.errors, *result.failures] == []
    assert waiting() == {}


@on_postgresql
def test_on_the_home_shard(clean: str) -> None:
    """What is not sharded, or is everywhere, is sent from the home shard."""
    with transaction.atomic(using="shop"):
        outbox.send("noted", instance=Category(name="tools"))
    assert waiting() == {SHARDS[0]: 1}
    with transaction.atomic(using="shop"):
        outbox.send("noted", instance=Holiday())
    assert waiting() == {SHARDS[0]: 2}
