"""`atomic(using="shop")` over several shards, and the shards' own transactions."""

import contextlib
import threading
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from tests.sharded.models import Country, Product
from tests.sharded.places import names, names_on, product_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, _ = SHARDS
# Django 6.1 has given it another name.
savepoint = getattr(transaction, "savepoint_create", transaction.savepoint)


class Stop(Exception):
    pass


def atomic(alias: str = SHOP, **options: Any) -> Any:
    return transaction.atomic(using=alias, **options)


def seen_by_others() -> list[str]:
    """Return the names that another connection sees: what is committed."""
    found: list[str] = []

    def look() -> None:
        try:
            found.extend(names())
        finally:
            connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


def create_product_and_country(name: str, code: str, **options: Any) -> None:
    with atomic(**options):
        product_on(THIRD, name=name)
        Country.objects.using(SHOP).create(code=code, name=name)


def point_to_nothing(product: Product) -> None:
    with atomic():
        product_on(FIRST, name="lost")
        rows = Product.objects.using(SHOP).filter(pk=product.pk)
        assert rows.update(category_id=1) == 1


def test_commits_on_every_shard(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        product_on(THIRD, name="b")
        assert names() == ["a", "b"]
        if shop != "sqlite":
            assert seen_by_others() == []
    assert seen_by_others() == ["a", "b"]
    assert names_on(FIRST) == ["a"]
    assert names_on(THIRD) == ["b"]


def test_rolls_back_on_every_shard(shop: str) -> None:
    product_on(FIRST, name="before")
    with contextlib.suppress(Stop), atomic():
        product_on(FIRST, name="a")
        product_on(THIRD, name="b")
        Product.objects.using(SHOP).filter(name="before").delete()
        raise Stop
    assert names() == ["before"]


def test_rolls_back_to_a_savepoint_that_is_older_than_a_shards_part(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            product_on(SECOND, name="lost as well")
            raise Stop
        product_on(SECOND, name="b")
    assert names() == ["a", "b"]


def test_a_shard_that_joins_late_knows_the_savepoints_around(shop: str) -> None:
    with atomic():
        with atomic():
            with contextlib.suppress(Stop), atomic():
                product_on(FIRST, name="lost")
                raise Stop
            product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            with atomic():
                product_on(SECOND, name="lost")
            raise Stop
    assert names() == ["a"]


def test_savepoints_by_hand(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        outer = savepoint(using=SHOP)
        product_on(SECOND, name="lost")
        inner = savepoint(using=SHOP)
        product_on(THIRD, name="lost")
        transaction.savepoint_rollback(inner, using=SHOP)
        assert names() == ["a", "lost"]
        transaction.savepoint_rollback(outer, using=SHOP)
        product_on(SECOND, name="b")
        transaction.savepoint_commit(outer, using=SHOP)
    assert names() == ["a", "b"]


def test_an_error_on_one_shard_can_be_caught_around_a_savepoint(shop: str) -> None:
    with atomic():
        Country.objects.using(SHOP).create(code="de", name="a")
        with pytest.raises(IntegrityError):
            create_product_and_country("lost", "de")
        product_on(SECOND, name="b")
    assert names() == ["b"]
    assert Country.objects.using(SHOP).get().name == "a"


def test_an_error_that_is_not_caught_so_breaks_the_whole(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="lost")
        Country.objects.using(SHOP).create(code="de", name="a")
        with pytest.raises(IntegrityError):
            create_product_and_country("lost", "de", savepoint=False)
        with pytest.raises(transaction.TransactionManagementError):
            names()
    assert names() == []


def test_a_durable_block_is_refused_inside_of_another(shop: str) -> None:
    with atomic(), pytest.raises(RuntimeError, match="durable"), atomic(durable=True):
        raise AssertionError("not reached")
    with atomic(durable=True):
        product_on(SECOND, name="a")
    assert names() == ["a"]


def test_on_commit_is_called_once_and_after_all_have_committed(shop: str) -> None:
    seen: list[Any] = []
    with atomic():
        product_on(FIRST, name="a")
        transaction.on_commit(lambda: seen.append(seen_by_others()), using=SHOP)
        product_on(SECOND, name="b")
        with contextlib.suppress(Stop), atomic():
            transaction.on_commit(lambda: seen.append("rolled back"), using=SHOP)
            raise Stop
        assert seen == []
    assert seen == [["a", "b"]]


def test_on_commit_of_a_shard_goes_with_its_savepoint(shop: str) -> None:
    seen: list[str] = []
    with atomic():
        product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            transaction.on_commit(lambda: seen.append("lost"), using=FIRST)
            raise Stop
        transaction.on_commit(lambda: seen.append("kept"), using=FIRST)
    assert seen == ["kept"]


def test_on_commit_of_a_shard_waits_for_all_shards(shop: str) -> None:
    seen: list[Any] = []
    with atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.on_commit(lambda: seen.append(seen_by_others()), using=FIRST)
    assert seen == [["a", "b"]]


def test_the_alias_of_a_shard_takes_part(shop: str) -> None:
    there = product_on(SECOND, name="there")
    with contextlib.suppress(Stop), atomic():
        Product.objects.using(SECOND).filter(pk=there.pk).update(name="changed")
        assert names() == ["changed"]
        assert names_on(SECOND) == ["changed"]
        raise Stop
    assert names_on(SECOND) == ["there"]


def test_raw_sql_on_the_alias_of_a_shard_takes_part(shop: str) -> None:
    product_on(SECOND, name="there")
    with contextlib.suppress(Stop), atomic():
        with connections[SECOND].cursor() as cursor:
            cursor.execute("UPDATE sharded_product SET name = 'changed'")
        assert names() == ["changed"]
        raise Stop
    assert names() == ["there"]


def test_a_shard_in_a_transaction_of_its_own(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with contextlib.suppress(Stop), atomic(SECOND):
        of_shard.update(name="changed")
        assert names() == ["changed"]
        with atomic():
            product_on(FIRST, name="stays")
            assert names() == ["changed", "stays"]
        raise Stop
    assert names() == ["stays", "there"]


def test_a_shards_own_block_inside_of_one_of_all(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with atomic():
        with contextlib.suppress(Stop), atomic(SECOND):
            of_shard.update(name="lost")
            product_on(FIRST, name="not of that block")
            raise Stop
        assert names() == ["not of that block", "there"]
        with atomic(SECOND):
            of_shard.update(name="changed")
    assert names() == ["changed", "not of that block"]
    with contextlib.suppress(Stop), atomic():
        with atomic(SECOND):
            of_shard.update(name="lost")
        raise Stop
    assert names() == ["changed", "not of that block"]


def test_a_savepoint_begun_in_a_shards_own_block(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with atomic():
        names_on(SECOND)
        for alias in (SHOP, SECOND):
            # Django counts savepoints so, and names them by that.
            connections[alias].savepoint_state = 10
        with contextlib.suppress(Stop), atomic(SECOND):
            of_shard.update(name="lost")
            savepoint(using=SHOP)
            raise Stop
        assert names() == ["there"]


def test_without_autocommit(shop: str) -> None:
    transaction.set_autocommit(False, using=SHOP)
    try:
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.rollback(using=SHOP)
        product_on(FIRST, name="c")
        product_on(SECOND, name="d")
        transaction.commit(using=SHOP)
    finally:
        transaction.rollback(using=SHOP)
        transaction.set_autocommit(True, using=SHOP)
    assert seen_by_others() == ["c", "d"]


def test_set_rollback(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.set_rollback(True, using=SHOP)
    assert names() == []


def test_a_read_alone_leaves_no_transaction_open(shop: str) -> None:
    product_on(FIRST, name="a")
    with atomic():
        assert names() == ["a"]
    for shard in SHARDS:
        assert not connections[shard].in_atomic_block
        assert connections[shard].get_autocommit()


def test_a_constraint_checked_at_the_end_spares_all_shards(shop: str) -> None:
    if not connections[FIRST].features.supports_deferrable_unique_constraints:
        pytest.skip("no constraint is checked at the end of a transaction here")
    product = product_on(SECOND, name="there")
    with pytest.raises(IntegrityError):
        point_to_nothing(product)
    assert names() == ["there"]


def test_closing_inside_of_a_transaction_rolls_back(shop: str) -> None:
    with contextlib.suppress(Stop), atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        connections[SHOP].close()
        raise Stop
    assert names() == []
    product_on(SECOND, name="c")
    assert seen_by_others() == ["c"]
