"""`select_for_update` locks rows on the shards where they are, as others see."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from tests.sharded.models import Product, Review
from tests.sharded.places import product_on, review_on
from tests.sharded.servers import only
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, _ = SHARDS
pytestmark = only("postgresql", "mariadb")


def locking(**options: Any) -> Any:
    return Product.objects.using(SHOP).select_for_update(**options).order_by("name")


def others(function: Callable[[], Any]) -> Any:
    """Call it with other connections, and return what it does or raises."""
    found: list[Any] = []

    def run() -> None:
        try:
            with transaction.atomic(using=SHOP):
                found.append(function())
        except DatabaseError as error:
            found.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return found[0]


def free() -> list[str]:
    """Return the names of the rows that nobody has locked."""
    rows: list[str] = others(lambda: [p.name for p in locking(skip_locked=True)])
    return rows


@pytest.fixture
def goods(shop: str) -> dict[str, Product]:
    return {shard: product_on(shard, name=shard) for shard in SHARDS}


def test_one_row_by_its_key(goods: dict[str, Product]) -> None:
    with transaction.atomic(using=SHOP):
        locking().get(pk=goods[SECOND].pk)
        assert free() == [FIRST, THIRD, SHARDS[3]]
    assert free() == list(SHARDS)


def test_rows_of_several_shards(shop: str, goods: dict[str, Product]) -> None:
    keys = [goods[shard].pk for shard in (FIRST, THIRD)]
    with transaction.atomic(using=SHOP):
        assert [p.name for p in locking().filter(pk__in=keys)] == [FIRST, THIRD]
        left = free()
        assert not {FIRST, THIRD} & set(left)
        # MariaDB also locks rows that it has looked at in vain.
        assert shop == "mariadb" or left == [SECOND, SHARDS[3]]
    assert free() == list(SHARDS)


def test_a_slice_locks_its_rows(shop: str, goods: dict[str, Product]) -> None:
    with transaction.atomic(using=SHOP):
        assert [p.name for p in locking()[1:3]] == [SECOND, THIRD]
        # What it skips is locked, too.
        left = free()
        assert not {SECOND, THIRD} & set(left)
        assert shop == "mariadb" or left == [SHARDS[3]]


def test_nowait(goods: dict[str, Product]) -> None:
    with transaction.atomic(using=SHOP):
        list(locking().filter(pk=goods[SECOND].pk))
        found = others(lambda: list(locking(nowait=True).filter(name__in=SHARDS)))
        assert isinstance(found, DatabaseError)
        found = others(lambda: locking(nowait=True).get(pk=goods[SECOND].pk))
        assert isinstance(found, DatabaseError)
        assert others(lambda: locking(nowait=True).get(pk=goods[FIRST].pk))


def test_skip_locked(goods: dict[str, Product]) -> None:
    with transaction.atomic(using=SHOP):
        list(locking().filter(pk=goods[SECOND].pk))
        assert others(lambda: [p.name for p in locking(skip_locked=True)[:2]]) == [
            FIRST,
            THIRD,
        ]


def test_another_waits_until_the_end_of_the_transaction(
    goods: dict[str, Product],
) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def other() -> None:
        try:
            with transaction.atomic(using=SHOP):
                waiting.set()
                rows = locking().filter(name__in=(SECOND, THIRD))
                order.extend(product.name for product in rows)
        finally:
            connections.close_all()

    with transaction.atomic(using=SHOP):
        list(locking().filter(name__in=(SECOND, THIRD)))
        thread = threading.Thread(target=other)
        thread.start()
        assert waiting.wait(60)
        thread.join(0.3)
        assert thread.is_alive()
        order.append("done")
    thread.join(60)
    assert order == ["done", SECOND, THIRD]


def test_rows_of_joined_tables(goods: dict[str, Product]) -> None:
    for shard in (FIRST, SECOND):
        review_on(shard, product=goods[shard])
    rows = Review.objects.using(SHOP).select_for_update().select_related("product")
    with transaction.atomic(using=SHOP):
        assert len(rows.order_by("pk")) == 2
        assert free() == [THIRD, SHARDS[3]]


def test_a_lock_outside_of_a_transaction_is_refused(goods: dict[str, Product]) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        list(locking())


def test_what_is_locked_is_what_is_committed_by_then(goods: dict[str, Product]) -> None:
    with transaction.atomic(using=SHOP):
        for product in locking():
            product.weight = (product.weight or 0) + 1
            product.save(using=SHOP)
    weights = Product.objects.using(SHOP).values_list("weight", flat=True)
    assert list(weights) == [1.0] * 4


def test_locks_nothing_on_shards_without_rows_of_the_answer(shop: str) -> None:
    keys = [product_on(shard, name="a").pk for shard in (FIRST, THIRD)]
    with transaction.atomic(using=SHOP):
        found = Product.objects.using(SHOP).select_for_update().filter(pk__in=keys)
        assert {row.pk for row in found} == set(keys)
        has_joined = connections[SHOP].transaction.has_joined
        assert [s for s in SHARDS if has_joined(s)] == [FIRST, THIRD]


def test_the_plan_of_a_query_that_locks(shop: str) -> None:
    for shard in (FIRST, THIRD):
        product_on(shard, name="a")
    with transaction.atomic(using=SHOP):
        assert Product.objects.using(SHOP).select_for_update().explain()
