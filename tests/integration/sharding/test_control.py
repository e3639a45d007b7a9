"""The bucket map in a real control database, and the ways to it."""

import threading
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction
from django.test import SimpleTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from shoal.errors import MapMissing, SettingsError, UnknownShard
from shoal.models import DirectoryRow
from shoal.placement.buckets import (
    bucket_map,
    create_map,
    create_tables,
    even_map,
    get_ready,
    refresh,
)
from shoal.placement.control import TABLES, control_alias, reached
from shoal.placement.sequences import next_ids, raise_to, restart
from tests.integration.sharding.conftest import ask, only, sharded

SHOP = sharded()


def none() -> int:
    return 0


def at_once(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call it in so many threads, all at one moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_nothing_is_there(control: str) -> None:
    with pytest.raises(MapMissing) as caught:
        bucket_map(SHOP)
    assert str(caught.value) == (
        "The control database 'control' has no table 'shoal_cluster'.\n"
        "Hint: Run `manage.py shoal migrate`."
    )
    with pytest.raises(MapMissing, match="has no table 'shoal_"):
        next_ids(SHOP, "reviews", 1, largest=none)
    with pytest.raises(MapMissing, match="has no table 'shoal_"):
        create_map(SHOP)
    create_tables()
    with pytest.raises(MapMissing) as caught:
        bucket_map(SHOP)
    assert str(caught.value) == (
        "The control database 'control' has no bucket map for the cluster 'shop'.\n"
        "Hint: Run `manage.py shoal migrate`."
    )


def test_a_map_is_made_once(control: str) -> None:
    first = get_ready(SHOP)
    assert first == even_map(["shop_0", "shop_1"])
    assert get_ready(sharded("shop_1", "shop_0", "shop_2")) == first
    assert get_ready(sharded("x", name="Shop")).shard_of(0) == "x"
    assert bucket_map(SHOP) == first


def test_a_map_is_kept_until_it_is_read_again(control: str) -> None:
    get_ready(SHOP)
    ask("UPDATE shoal_cluster SET version = 2")
    assert bucket_map(SHOP).version == 1
    assert refresh(SHOP).version == 2
    assert bucket_map(SHOP).version == 2
    ask("UPDATE shoal_cluster SET version = 3")
    with override_settings(SHOAL={"CONTROL": "control"}):
        assert bucket_map(SHOP).version == 3


@pytest.mark.parametrize("round", range(3))
def test_who_comes_at_once_gets_one_map(control: str, round: int) -> None:
    clusters = [sharded("shop_0", "shop_1"), sharded("shop_1", "shop_0")]
    maps = at_once(6, lambda i: get_ready(clusters[i % 2]))
    assert all(found == maps[0] for found in maps)
    assert ask("SELECT count(*) FROM shoal_cluster") == [(1,)]
    assert ask("SELECT count(*) FROM shoal_range") == [(2,)]


def test_a_map_that_names_a_stranger(control: str) -> None:
    get_ready(SHOP)
    with pytest.raises(UnknownShard) as caught:
        refresh(sharded("shop_0", "shop_2"))
    assert str(caught.value) == (
        "The bucket map of the cluster 'shop' has the buckets 2048 to 4095 on "
        "'shop_1', which is not one of its SHARDS.\n"
        "Hint: Put 'shop_1' back: the rows are there. SHARDS has: 'shop_0', 'shop_2'."
    )


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ("UPDATE shoal_range SET {last} = 99 WHERE {first} = 0", "no {} 100 to 2047."),
        ("UPDATE shoal_range SET {first} = 5 WHERE {first} = 0", "no {} 0 to 4."),
        ("UPDATE shoal_range SET {last} = 4094 WHERE {first} > 0", "no {} 4095 to"),
        ("UPDATE shoal_range SET {last} = 2048 WHERE {first} = 0", "two .* 2048."),
        ("UPDATE shoal_range SET {last} = 4096 WHERE {first} > 0", "two .* 4096."),
    ],
)
@only("sqlite")
def test_a_map_that_is_not_complete(control: str, change: str, fact: str) -> None:
    get_ready(SHOP)
    ask(change.format(first='"first"', last='"last"'))
    fact = fact.format("shard for the buckets")
    with pytest.raises(UnknownShard, match=f"of the cluster 'shop' has {fact}"):
        refresh(SHOP)


def test_migrate_takes_the_tables_that_are_there(control: str) -> None:
    before = get_ready(SHOP)
    described = describe()
    call_command("migrate", "shoal", database="control", verbosity=0)
    assert refresh(SHOP) == before
    assert describe() == described
    call_command("migrate", "shoal", "zero", database="control", verbosity=0)
    assert not describe()
    call_command("migrate", "shoal", database="control", verbosity=0)
    assert describe() == described
    call_command("migrate", "shoal", "zero", database="control", verbosity=0)


def describe() -> dict[str, Any]:
    """Return columns and constraints of each table that is there."""
    connection: Any = connections["control"]
    with connection.cursor() as cursor:
        there = connection.introspection.table_names(cursor)
        return {
            table: (
                [
                    (column.name, column.type_code, column.null_ok)
                    for column in connection.introspection.get_table_description(
                        cursor, table
                    )
                ],
                connection.introspection.get_constraints(cursor, table),
            )
            for table in (model._meta.db_table for model in TABLES)
            if table in there
        }


def test_a_key_equals_itself_alone(control: str) -> None:
    create_tables()
    keys = ["a", "A", "a ", " a", "ä", "a\u0308", "", "x" * 255, "€" * 255, "%s"]
    rows = DirectoryRow.objects.using("control")
    for bucket, key in enumerate(keys):
        rows.create(cluster="shop", key=key, bucket=bucket)
    for bucket, key in enumerate(keys):
        assert rows.get(cluster="shop", key=key).bucket == bucket
        with reached() as reach:
            found = reach.run(
                'SELECT "key", "bucket" FROM "shoal_directory" '
                'WHERE "cluster" = %s AND "key" = %s',
                "shop",
                key,
            )
        assert found == [(key, bucket)]
    assert sorted(rows.values_list("key", flat=True)) == sorted(keys)
    with pytest.raises(DatabaseError):
        rows.create(cluster="shop", key="a", bucket=1)


def test_a_test_need_not_list_the_alias(control: str) -> None:
    class Inner(SimpleTestCase):
        def test_reach(self) -> None:
            with self.assertRaisesMessage(Exception, "'control' are not allowed"):
                ask("SELECT 1")
            assert get_ready(SHOP).version == 1
            assert next_ids(SHOP, "reviews", 2, largest=none) == [1, 2]
            raise_to(SHOP, "reviews", 5000)
            restart(SHOP, "reviews")
            assert next_ids(SHOP, "reviews", 1, largest=none) == [1]

    connections["control"].close()
    result = unittest.TestResult()
    unittest.TestSuite([Inner("test_reach")]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
    assert ask("SELECT count(*) FROM shoal_sequence") == [(1,)]


def test_nobody_counts_or_sees_the_statements(control: str) -> None:
    seen: list[str] = []

    def see(execute: Any, sql: str, *args: Any) -> Any:
        seen.append(sql)
        return execute(sql, *args)

    connection = connections["control"]
    with CaptureQueriesContext(connection) as captured, connection.execute_wrapper(see):
        get_ready(SHOP)
        next_ids(SHOP, "reviews", 2, largest=none)
    assert seen == []
    assert captured.captured_queries == []


@only("postgresql", "mariadb")
def test_what_the_project_rolls_back_is_not_ours(control: str) -> None:
    with transaction.atomic("control"):
        get_ready(SHOP)
        next_ids(SHOP, "reviews", 2, largest=none)
        transaction.set_rollback(True, using="control")
    assert refresh(SHOP).version == 1
    assert ask("SELECT count(*) FROM shoal_sequence") == [(1,)]


@only("postgresql")
def test_a_transaction_that_has_failed_does_not_matter(control: str) -> None:
    get_ready(SHOP)
    with transaction.atomic("control"):
        with pytest.raises(DatabaseError):
            ask("SELECT nonsense")
        assert refresh(SHOP).version == 1
        assert next_ids(SHOP, "reviews", 1, largest=none) == [1]
        transaction.set_rollback(True, using="control")


@only("sqlite")
def test_sqlite_joins_the_transaction_of_the_project(control: str) -> None:
    with transaction.atomic("control"):
        get_ready(SHOP)
        ask("UPDATE shoal_cluster SET version = 2")
        assert refresh(SHOP).version == 2
        transaction.set_rollback(True, using="control")
    with pytest.raises(MapMissing):
        refresh(SHOP)


@only("sqlite")
def test_sqlite_in_memory(control: str) -> None:
    settings_dict = connections["control"].settings_dict
    connections["control"].close()
    settings_dict["NAME"] = ":memory:"
    try:
        get_ready(SHOP)
        assert refresh(SHOP) == bucket_map(SHOP)
        assert next_ids(SHOP, "reviews", 2, largest=none) == [1, 2]
        assert ask('SELECT "next" FROM shoal_sequence') == [(3,)]
    finally:
        connections["control"].connection.close()
        connections["control"].connection = None


@only("sqlite")
def test_a_connection_that_was_closed_is_closed_again(control: str) -> None:
    connections["control"].close()
    get_ready(SHOP)
    assert connections["control"].connection is None


@only("postgresql")
def test_a_database_can_be_dropped_and_another_be_used(control: str) -> None:
    get_ready(SHOP)
    assert next_ids(SHOP, "reviews", 3, largest=none) == [1, 2, 3]
    ask("CREATE DATABASE test_control")
    settings_dict = connections["control"].settings_dict
    name = settings_dict["NAME"]
    connections["control"].close()
    settings_dict["NAME"] = "test_control"
    try:
        with pytest.raises(MapMissing):
            bucket_map(SHOP)
        get_ready(SHOP)
        assert next_ids(SHOP, "reviews", 1, largest=none) == [1]
    finally:
        connections["control"].close()
        settings_dict["NAME"] = name
    ask("DROP DATABASE test_control")
    assert next_ids(SHOP, "reviews", 1, largest=none) == [4]


def test_a_project_without_shards_has_no_control_database() -> None:
    with pytest.raises(SettingsError, match="The project has no control database"):
        control_alias()
