"""Raw SQL on a sharded alias: refused, unless a block says which shard it is for."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

from shoal.errors import KeyMismatch, QueryRefused, RawQueryRefused, UnknownShard
from shoal.placement import on_every_shard, on_shard
from tests.sharded.models import Category, Country, Product
from tests.sharded.places import code_on, names, names_on, product_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, _ = SHARDS
NAMES = "SELECT name FROM sharded_product ORDER BY name"


def ask(sql: str, params: Any = None) -> list[Any]:
    with connections[SHOP].cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def test_is_refused_with_a_way_out(shop: str) -> None:
    with pytest.raises(RawQueryRefused) as caught:
        ask(
            "SELECT name\n  FROM sharded_product WHERE name = %s AND price > 100", ["a"]
        )
    assert str(caught.value) == (
        "Raw SQL on the sharded alias 'shop' was refused: "
        "'SELECT name FROM sharded_product WHERE name = %s AND price …' does not say "
        "which shard it is for.\n"
        "Hint: Run it inside `with on_shard('shop', key=...)`, on each shard inside "
        "`with on_every_shard('shop')`, or on the alias of one shard."
    )
    assert isinstance(caught.value, QueryRefused)


def test_is_refused_in_every_way_to_send_it(shop: str) -> None:
    with pytest.raises(RawQueryRefused):
        list(Product.objects.using(SHOP).raw(NAMES))
    with connections[SHOP].cursor() as cursor:
        with pytest.raises(RawQueryRefused):
            cursor.executemany("DELETE FROM sharded_product WHERE id = %s", [[1]])
        with pytest.raises(RawQueryRefused):
            cursor.callproc("anything")


def test_a_refusal_leaves_a_transaction_as_it_was(shop: str) -> None:
    with transaction.atomic(using=SHOP):
        product_on(SECOND, name="a")
        with pytest.raises(RawQueryRefused):
            ask(NAMES)
        assert names() == ["a"]
    assert names() == ["a"]


def test_on_the_shard_of_a_key(shop: str) -> None:
    there = product_on(SECOND, name="a")
    product_on(FIRST, name="b")
    with on_shard(SHOP, key=there.pk, model=Product):
        assert ask(NAMES) == ["a"]
        rows = Product.objects.using(SHOP).raw("SELECT * FROM sharded_product")
        assert [row.name for row in rows] == ["a"]
    with pytest.raises(RawQueryRefused):
        ask(NAMES)


def test_queries_of_models_see_that_shard_alone(shop: str) -> None:
    product_on(FIRST, name="a")
    there = product_on(SECOND, name="b")
    with on_shard(SHOP, shard=SECOND):
        assert names() == ["b"]
        assert Product.objects.using(SHOP).update(name="c") == 1
        assert not Product.objects.using(SHOP).filter(name="a").exists()
    assert names() == ["a", "c"]
    with on_shard(SHOP, shard=FIRST):
        assert not Product.objects.using(SHOP).filter(pk=there.pk).exists()


def test_a_row_of_another_shard_is_not_inserted(shop: str) -> None:
    with on_shard(SHOP, shard=FIRST), pytest.raises(KeyMismatch) as caught:
        Country.objects.using(SHOP).create(code=code_on(SECOND), name="a")
    assert str(caught.value) == (
        "A row of sharded.Country belongs on 'shop_1', but was to be inserted on "
        "'shop_0'.\nHint: Insert it outside of on_shard(), on the sharded alias "
        "'shop'."
    )
    assert Country.objects.using(SHOP).count() == 0


def test_a_reference_row_is_not_written_on_one_shard_alone(shop: str) -> None:
    for action in (
        lambda: Category.objects.using(SHOP).create(name="a"),
        lambda: Category.objects.using(SHOP).update(name="b"),
        lambda: Category.objects.using(SHOP).filter(name="b").delete(),
    ):
        with on_shard(SHOP, shard=SECOND):
            action()
        found = {
            shard: list(Category.objects.using(shard).values_list("name", flat=True))
            for shard in SHARDS
        }
        assert len({tuple(rows) for rows in found.values()}) == 1, found


def test_on_every_shard_rows_come_shard_by_shard(shop: str) -> None:
    for shard, name in ((THIRD, "a"), (FIRST, "c"), (FIRST, "b")):
        product_on(shard, name=name)
    with on_every_shard(SHOP):
        assert ask(NAMES) == ["b", "c", "a"]
        assert ask("SELECT COUNT(*) FROM sharded_product") == [2, 0, 1, 0]
        assert names() == ["a", "b", "c"]


def test_a_raw_write_on_every_shard_counts_all_rows(shop: str) -> None:
    for shard in (FIRST, THIRD):
        product_on(shard, name="a")
    with on_every_shard(SHOP), connections[SHOP].cursor() as cursor:
        cursor.execute("UPDATE sharded_product SET name = %s", ["b"])
        assert cursor.rowcount == 2
    assert names_on(FIRST) == names_on(THIRD) == ["b"]


def test_rows_can_be_fetched_in_every_way(shop: str) -> None:
    for shard in (FIRST, SECOND, SECOND):
        product_on(shard, name=shard)
    with on_every_shard(SHOP), connections[SHOP].cursor() as cursor:
        cursor.execute(NAMES)
        assert cursor.fetchone() == (FIRST,)
        assert list(cursor.fetchmany(5)) == [(SECOND,), (SECOND,)]
        assert cursor.fetchone() is None
        cursor.execute(NAMES)
        assert [name for (name,) in cursor] == [FIRST, SECOND, SECOND]


def test_a_block_takes_part_in_the_transaction(shop: str) -> None:
    there = product_on(SECOND, name="a")
    with transaction.atomic(using=SHOP):
        with on_shard(SHOP, key=there.pk, model=Product):
            ask("UPDATE sharded_product SET name = 'lost'")
        assert names() == ["lost"]
        transaction.set_rollback(True, using=SHOP)
    assert names() == ["a"]


def test_the_inner_of_two_blocks_counts(shop: str) -> None:
    for shard in SHARDS:
        product_on(shard, name=shard)
    with on_every_shard(SHOP):
        with on_shard(SHOP, shard=SECOND):
            assert ask(NAMES) == [SECOND]
            with on_shard(SHOP, shard=THIRD):
                assert ask(NAMES) == [THIRD]
            assert ask(NAMES) == [SECOND]
        assert ask(NAMES) == list(SHARDS)


def test_decorates(shop: str) -> None:
    product_on(SECOND, name="a")

    @on_shard(SHOP, shard=SECOND)
    def asked() -> list[Any]:
        return ask(NAMES)

    assert asked() == ["a"]
    with pytest.raises(RawQueryRefused):
        ask(NAMES)


def test_under_async(shop: str) -> None:
    there = product_on(SECOND, name="a")
    product_on(FIRST, name="b")

    @on_every_shard(SHOP)
    async def everywhere() -> list[Any]:
        return await sync_to_async(ask)(NAMES)

    async def flow() -> tuple[Any, ...]:
        async with on_shard(SHOP, key=there.pk, model=Product):
            raw = await sync_to_async(ask)(NAMES)
            rows = [row.name async for row in Product.objects.using(SHOP)]
        with pytest.raises(RawQueryRefused):
            await sync_to_async(ask)(NAMES)
        return raw, rows, await everywhere()

    assert async_to_sync(flow)() == (["a"], ["a"], ["b", "a"])


def test_a_shard_that_is_not_there(shop: str) -> None:
    with pytest.raises(UnknownShard) as caught:
        on_shard(SHOP, shard="shop_9")
    assert str(caught.value).startswith("'shop_9' is not a shard of 'shop'.\nHint: Did")


def test_psycopg_copies_on_the_shard_of_the_block(shop: str) -> None:
    if shop != "postgresql":
        pytest.skip("Only psycopg has copy().")
    product_on(FIRST, name="a")
    product_on(SECOND, name="b")
    out = "COPY (SELECT name FROM sharded_product) TO STDOUT"
    with connections[SHOP].cursor() as cursor:
        with on_shard(SHOP, shard=SECOND), cursor.copy(out) as rows:
            assert b"".join(rows) == b"b\n"
        with on_every_shard(SHOP), pytest.raises(RawQueryRefused, match="4 shards"):
            cursor.copy(out)
        with pytest.raises(RawQueryRefused, match="does not say which shard"):
            cursor.copy(out)
