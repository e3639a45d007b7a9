"""`connections["shop"].copy()`, as one takes it to see what another session sees."""

import contextlib
import gc

import pytest
from django.db import connections, transaction

from shoal.placement import on_shard
from tests.sharded.models import Product
from tests.sharded.places import names, names_on, product_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, *_ = SHARDS
NAMES = "SELECT name FROM sharded_product"


def seen(copied: object) -> list[str]:
    with on_shard(SHOP, shard=SECOND), copied.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(NAMES)
        return [row[0] for row in cursor.fetchall()]


def test_a_copy_is_another_session(shop: str) -> None:
    copied = connections[SHOP].copy()
    with contextlib.closing(copied), transaction.atomic(using=SHOP):
        product_on(SECOND, name="a")
        assert names_on(SECOND) == ["a"]
        assert seen(copied) == []
    with contextlib.closing(copied):
        assert seen(copied) == ["a"]


def test_a_copy_has_transactions_of_its_own(shop: str) -> None:
    product_on(SECOND, name="a")
    copied = connections[SHOP].copy()
    with contextlib.closing(copied):
        copied.set_autocommit(False)
        with on_shard(SHOP, shard=SECOND), copied.cursor() as cursor:
            cursor.execute("UPDATE sharded_product SET name = 'b'")
        assert seen(copied) == ["b"]
        assert not connections[SHOP].in_transaction
        assert names() == ["a"]
        copied.rollback()
        assert seen(copied) == ["a"]
        copied.set_autocommit(True)
    assert names() == ["a"]


def test_a_copy_takes_no_shard_from_its_original(shop: str) -> None:
    copied = connections[SHOP].copy()
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=SHOP):
        Product.objects.using(SECOND).create(name="a", pk=product_on(SECOND).pk + 4096)
        raise ZeroDivisionError
    assert names() == []
    copied.close()


def test_nothing_stays_of_a_copy(shop: str) -> None:
    copied = connections[SHOP].copy("other")
    assert copied.alias == "other"
    name = copied.registered(FIRST)
    assert connections[name] is not connections[FIRST]
    copied.close()
    del copied
    gc.collect()
    with pytest.raises(Exception, match=r"doesn't exist"):
        connections[name]


def test_the_drivers_connection_is_not_closed_for_a_shard(shop: str) -> None:
    connections[SHOP].ensure_connection()
    connections[SHOP].connection.close()
    assert names_on(FIRST) == []
