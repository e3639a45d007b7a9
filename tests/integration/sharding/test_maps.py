"""A bucket map that is missing, stale or wrong: an error, never another shard."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from shoal.errors import KeyMismatch, MapMissing, UnknownShard
from shoal.placement import buckets, on_shard, shard_of
from shoal.placement.buckets import Range
from tests.sharded.fixtures import on_postgresql, with_ids
from tests.sharded.models import Country, Product
from tests.sharded.places import code_on, names, product_on
from tests.sharded.shop import CONTROL, SHARDS, SHOP, cluster

FIRST, SECOND, _, LAST = SHARDS


def control(sql: str, *params: Any) -> list[Any]:
    with connections[CONTROL].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def map_of_shop(shop: str) -> Iterator[list[Any]]:
    """What the control database has; it is put back afterwards."""
    rows = {
        table: control(f"SELECT * FROM {table}")
        for table in ("shoal_cluster", "shoal_range")
    }
    yield rows["shoal_range"]
    for table, there in rows.items():
        control(f"DELETE FROM {table}")
        for row in there:
            marks = ", ".join(["%s"] * len(row))
            control(f"INSERT INTO {table} VALUES ({marks})", *row)
    buckets.refresh(cluster())


def forget() -> None:
    """Know no more of the map than a new process does."""
    buckets._maps.clear()


def test_a_map_that_is_missing(map_of_shop: list[Any]) -> None:
    there = product_on(SECOND, name="a")
    for table in ("shoal_range", "shoal_cluster"):
        control(f"DELETE FROM {table}")
    forget()
    for question in (
        lambda: Product.objects.using(SHOP).get(pk=there.pk),
        lambda: Country.objects.using(SHOP).create(code="x", name="a"),
        lambda: Product.objects.using(SHOP).filter(pk=there.pk).update(name="b"),
        lambda: Product.objects.using(SHOP).filter(pk=there.pk).delete(),
        lambda: shard_of(Product, there.pk),
    ):
        with pytest.raises(MapMissing) as caught:
            question()
        assert str(caught.value) == (
            "The control database 'shop_control' has no bucket map for the cluster "
            "'shop'.\nHint: Run `manage.py shoal migrate`."
        )


def test_a_shard_that_the_settings_do_not_have(map_of_shop: list[Any]) -> None:
    there = product_on(LAST, name="a")
    control("UPDATE shoal_range SET shard = 'shop_9' WHERE shard = %s", LAST)
    forget()
    for question in (
        lambda: Product.objects.using(SHOP).get(pk=there.pk),
        lambda: shard_of(Product, there.pk),
        lambda: Country.objects.using(SHOP).create(code="x", name="a"),
    ):
        with pytest.raises(UnknownShard) as caught:
            question()
        assert str(caught.value) == (
            "The bucket map of the cluster 'shop' has the buckets 3072 to 4095 on "
            "'shop_9', which is not one of its SHARDS.\n"
            "Hint: Put 'shop_9' back: the rows are there. SHARDS has: 'shop_0', "
            "'shop_1', 'shop_2', 'shop_3'."
        )


def test_a_map_with_a_hole(map_of_shop: list[Any]) -> None:
    control("DELETE FROM shoal_range WHERE shard = %s", SECOND)
    forget()
    with pytest.raises(UnknownShard, match="no shard for the buckets 1024 to 2047"):
        shard_of(Country, "x")


def test_a_map_that_has_moved_on(map_of_shop: list[Any]) -> None:
    code = code_on(LAST)
    control("UPDATE shoal_range SET shard = %s WHERE shard = %s", FIRST, LAST)
    assert shard_of(Country, code) == LAST
    found = buckets.refresh(cluster())
    assert found.ranges[-1] == Range(3072, 4095, FIRST)
    assert shard_of(Country, code) == FIRST
    Country.objects.using(SHOP).create(code=code, name="a")
    assert Country.objects.using(FIRST).get().code == code
    assert Country.objects.using(SHOP).get(code=code).name == "a"


@with_ids("bucketed", "plain")
def test_a_shard_without_buckets_takes_no_new_rows(map_of_shop: list[Any]) -> None:
    control("UPDATE shoal_range SET shard = %s WHERE shard = %s", FIRST, LAST)
    forget()
    for block in (on_shard(SHOP, shard=LAST), contextlib.nullcontext()):
        with block, pytest.raises(KeyMismatch, match=f"to be inserted on '{LAST}'"):
            Product.objects.using(LAST).create(name="a")
    assert names() == []


CREATE = """
import sys, json, django
from django.conf import settings
databases, shoal = json.loads(sys.argv[1])
settings.configure(
    DATABASES={"default": {}, **databases}, SHOAL=shoal, INSTALLED_APPS=["shoal"],
    DATABASE_ROUTERS=["shoal.routing.Router"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from shoal.placement.buckets import get_ready
from shoal.topology import get_topology
print("ready", flush=True)
sys.stdin.readline()
print(get_ready(get_topology().clusters["other"]).ranges)
"""


@on_postgresql
def test_processes_that_create_the_map_at_once(map_of_shop: list[Any]) -> None:
    kept = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    databases = {
        alias: {key: settings.DATABASES[alias][key] for key in kept}
        for alias in (*SHARDS, CONTROL)
    }
    databases["other"] = {"ENGINE": "shoal.backends.sharded"}
    shoal = {"CLUSTERS": {"other": {"SHARDS": list(SHARDS)}}, "CONTROL": CONTROL}
    given = json.dumps([databases, shoal])
    command = [sys.executable, "-W", "ignore", "-c", CREATE, given]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    of_other = control("SELECT COUNT(*) FROM shoal_range WHERE cluster = 'other'")
    assert of_other == [(4,)]


def test_nothing_is_asked_for_a_query_that_needs_no_map(map_of_shop: list[Any]) -> None:
    product_on(SECOND, name="a")
    control("DELETE FROM shoal_range")
    forget()
    # All shards are asked anyway.
    assert names() == ["a"]
