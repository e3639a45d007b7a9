"""A query whose time is up is stopped on every shard, and leaves nothing behind."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connections, transaction
from django.db.models import Avg, Count, F, FloatField, Func, Window
from django.db.models.functions import Coalesce
from django.test import override_settings

from shoal.errors import DeadlineExceeded, GatherForbidden
from shoal.placement import on_shard
from shoal.sharding import deadline, forbid
from shoal.topology.probe.asking import close, open_apart
from tests.sharded.models import Product
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP, setting
from tests.waiting import until

FIRST, SECOND, THIRD, FOURTH = SHARDS
LONG = 20.0
"""Seconds that a shard would work."""
SOON = 0.3
ENOUGH = 2.0
"""For what is quick, also where others use the processor."""
HEADS = {
    "one shard": f"One shard, {THIRD}",
    "scatter": "Scattered to shop_0",
    "order": "Scattered to shop_0",
    "groups": "Scattered to shop_0, shop_1, shop_2, shop_3, put together on shop_0",
    "gather": "Gathered from shop_0",
}
WAY_OUT = (
    "Ask for less (`manage.py shoal explain` shows the plan), or give it more time: "
    '`with deadline(...)`, or "TIMEOUT".'
)


class Sleep(Func):
    """Sleeps as long as the weight says; on SQLite, which cannot, counts long."""

    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        made = "COALESCE(LENGTH(pg_sleep(%(expressions)s)::text), 0)"
        return self.as_sql(compiler, connection, template=made)

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="SLEEP(%(expressions)s)")

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        made = (
            "(WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n "
            "WHERE x < %(expressions)s * 3000000) SELECT MAX(x) FROM n)"
        )
        return self.as_sql(compiler, connection, template=made)


class OwnSleep(Sleep):
    """Passes for one of Django's own, which have the same value on every server."""

    __module__ = "django.db.models.functions.sleep"


@pytest.fixture
def slow(shop: str) -> Iterator[Any]:
    """Give products of which the third shard's takes long."""
    for shard in SHARDS:
        product_on(shard, weight=LONG if shard == THIRD else 0, name="a")
    yield Product.objects.using(SHOP).annotate(x=Sleep(Coalesce("weight", 0.0)))
    assert Product.objects.using(SHOP).count() >= len(SHARDS)


def ways(slow: Any) -> dict[str, Any]:
    third = Product.objects.using(SHOP).get(weight=LONG)
    own = Product.objects.using(SHOP).annotate(x=OwnSleep(Coalesce("weight", 0.0)))
    return {
        "one shard": slow.filter(pk=third.pk),
        "scatter": own,
        "order": own.order_by("-weight")[:2],
        "groups": own.values("name").annotate(y=Avg("x")).values("name", "y"),
        "gather": slow.filter(x__gte=0).annotate(y=Window(Avg("weight"))),
    }


def in_time(run: Any) -> DeadlineExceeded:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        run()
    assert time.monotonic() - began < LONG / 2
    return caught.value


@pytest.mark.parametrize("name", ["one shard", "scatter", "order", "groups", "gather"])
def test_every_way_ends_in_time(slow: Any, shop: str, name: str) -> None:
    rows = ways(slow)[name]
    assert rows.explain().startswith(HEADS[name])
    error = ended(rows, SOON)
    assert isinstance(error, OperationalError)
    assert error.hint == WAY_OUT
    if shop != "sqlite" and name in ("one shard", "scatter", "order", "groups"):
        if error.message == late(SOON):
            return
        # Others use the processor, and more shards than that one were late.
        assert ended(rows, LONG / 4).message == late(LONG / 4)


def ended(rows: Any, seconds: float) -> DeadlineExceeded:
    with deadline(seconds):
        return in_time(lambda: list(rows))


def late(seconds: float) -> str:
    """Return what is said where one shard has not answered."""
    return (
        f"The deadline of {seconds:g} s passed before {THIRD!r} had answered a query "
        "on 'shop'."
    )


def test_what_is_in_time_is_answered(slow: Any) -> None:
    with deadline(LONG):
        fast = slow.exclude(weight=LONG)
        assert len(fast) == 3
        assert len(fast.filter(pk=fast[0].pk)) == 1
        assert len(list(fast.iterator())) == 3
    wrappers = [len(connections[shard].execute_wrappers) for shard in SHARDS]
    with deadline(LONG):
        assert len(fast.all()) == 3
    assert [len(connections[shard].execute_wrappers) for shard in SHARDS] == wrappers


def test_nobody_is_asked_once_it_has_passed(slow: Any) -> None:
    with deadline(0.001):
        time.sleep(0.002)
        error = in_time(lambda: Product.objects.using(SHOP).count())
    assert error.message == (
        "The deadline of 0.001 s passed before a query on 'shop' was sent."
    )


def test_the_time_is_that_of_the_block(slow: Any) -> None:
    fast = Product.objects.using(SHOP)
    with deadline(SOON):
        began = time.monotonic()
        while time.monotonic() - began < SOON:
            try:
                fast.count()
            except DeadlineExceeded:
                break
        in_time(fast.count)
    assert fast.count() == 4


def is_answered() -> bool:
    """Say whether a quick query is in time: not always where others use the machine."""
    try:
        return Product.objects.using(SHOP).count() == 4
    except DeadlineExceeded:
        return False


def test_a_setting_gives_each_query_its_time(slow: Any) -> None:
    fast = Product.objects.using(SHOP)
    with override_settings(SHOAL=setting(TIMEOUT=SOON)):
        in_time(lambda: list(slow))
    with override_settings(SHOAL=setting(TIMEOUT=ENOUGH)):
        began = time.monotonic()
        until(is_answered)
        until(lambda: time.monotonic() - began > ENOUGH and is_answered())
    with override_settings(SHOAL=setting(TIMEOUT=SOON)):
        with deadline(None):
            assert fast.count() == 4
        with deadline(LONG * 2):
            assert fast.count() == 4


def test_async_and_as_a_decorator(slow: Any) -> None:
    @deadline(SOON)
    async def read() -> list[Any]:
        return [row async for row in slow.order_by("pk")]

    @deadline(SOON)
    def read_now() -> list[Any]:
        return list(slow)

    in_time(async_to_sync(read))
    in_time(read_now)


def test_a_transaction_is_rolled_back_as_after_any_error(slow: Any) -> None:
    with pytest.raises(DeadlineExceeded), transaction.atomic(using=SHOP):  # noqa: PT012
        Product.objects.using(SHOP).filter(pk__gt=0).update(name="b")
        with deadline(SOON):
            list(slow)
    assert Product.objects.using(SHOP).filter(name="b").count() == 0


def test_the_next_query_is_not_stopped(slow: Any) -> None:
    """No order to stop comes late."""
    for _ in range(5):
        with deadline(0.05):
            in_time(lambda: list(slow))
        assert Product.objects.using(SHOP).count() == 4
        assert list(Product.objects.using(SHOP).filter(pk=4096)) == []


def test_one_shard_that_a_block_names(slow: Any) -> None:
    with on_shard(SHOP, shard=THIRD), deadline(SOON):
        in_time(lambda: list(slow))


def test_other_errors_stay_what_they_are(slow: Any) -> None:
    with deadline(LONG), forbid("gather"), pytest.raises(GatherForbidden):
        list(Product.objects.using(SHOP).annotate(y=Window(Avg(F("weight")))))
    with deadline(LONG), pytest.raises(Exception, match="no_such_thing") as caught:
        list(slow.annotate(y=Func("pk", function="no_such_thing")))
    assert not isinstance(caught.value, DeadlineExceeded)


def test_the_home_server_is_stopped_where_it_makes_tables(shop: str) -> None:
    if shop != "postgresql":
        pytest.skip("One kind of server is enough.")
    product_on(SECOND)
    every = Product.objects.using(SHOP).annotate(n=Window(Count("pk")))
    holder = open_apart(FIRST)
    holder.inc_thread_sharing()
    holder.set_autocommit(False)
    release = threading.Timer(LONG, holder.rollback)
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE sharded_product IN ACCESS EXCLUSIVE MODE")
        release.start()
        began = time.monotonic()
        with deadline(SOON), pytest.raises(DeadlineExceeded):
            list(every)
        assert time.monotonic() - began < LONG / 2
    finally:
        release.cancel()
        holder.rollback()
        close(holder)
    assert len(every) == 1
