"""Rows that several shards send at the same time, to be brought together."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import (
    DataError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)

from shoal.sharding.carrying import Source, carry, carry_each
from shoal.sharding.scratch import Column
from shoal.topology.probe.asking import close, open_apart
from tests.sharded.fixtures import on_postgresql, with_ids
from tests.sharded.shop import SHARDS, SHOP

HELD = 7
"""The number of a lock that somebody else has."""
LOCKED = f"SELECT 1 AS a FROM (SELECT pg_advisory_xact_lock_shared({HELD})) one"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
)

pytestmark = [on_postgresql, with_ids("bucketed")]


@pytest.fixture
def scratch(shop: str) -> Iterator[Any]:
    connection = connections[SHOP]
    with connection.scratch.opened(connection.home.settings_dict["NAME"]) as scratch:
        scratch.make_for("parts", [Column(name="a", type="")], "SELECT 1 AS a", ())
        yield scratch


def source(sql: str, params: Any = ()) -> Source:
    there = [connections[SHOP].shard_to_read(alias) for alias in SHARDS]
    return Source(connections=there, sql=sql, params=params)


def sent(scratch: Any, sql: str, params: Any = ()) -> list[tuple[str, int]]:
    return list(carry_each(scratch.connection, "parts", ["a"], source(sql, params)))


@contextlib.contextmanager
def apart() -> Iterator[dict[str, Any]]:
    """Yield connections to the shards that nobody else uses."""
    with contextlib.ExitStack() as stack:
        made = {alias: open_apart(alias) for alias in SHARDS}
        for one in made.values():
            stack.callback(close, one)
        yield made


def one_value(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def release(others: dict[str, Any]) -> int:
    """Give the locks free once all shards wait for them; return how many did."""
    end, waiting = time.monotonic() + 60, 0
    try:
        while waiting < len(SHARDS) and time.monotonic() < end:
            waiting = sum(one_value(one, WAITING) for one in others.values())
    finally:
        for one in others.values():
            one_value(one, f"SELECT pg_advisory_unlock({HELD})")
    return waiting


def test_all_shards_are_at_work_at_the_same_time(scratch: Any) -> None:
    waited: list[int] = []
    with apart() as others:
        for other in others.values():
            one_value(other, f"SELECT pg_advisory_lock({HELD})::text")

        for other in others.values():
            # The thread below is not the one that made them.
            other.inc_thread_sharing()
        thread = threading.Thread(target=lambda: waited.append(release(others)))
        thread.start()
        try:
            found = sent(scratch, LOCKED)
        finally:
            thread.join()
    assert found == [(alias, 1) for alias in SHARDS]
    assert waited == [len(SHARDS)]


FAILING = "SELECT 1 / (a - 40000) AS a FROM generate_series(1, 50000) a"
"""Fails when blocks have come."""


@pytest.mark.parametrize("is_atomic", [True, False])
def test_a_failure_on_the_way_leaves_connections_usable(
    scratch: Any, is_atomic: bool
) -> None:
    one_of_them = connections[SHARDS[1]]
    with transaction.atomic(using=SHOP) if is_atomic else contextlib.nullcontext():
        with pytest.raises(DataError, match="division by zero") as caught:
            sent(scratch, FAILING)
        assert caught.value.__traceback__
        if is_atomic:
            transaction.set_rollback(True, using=SHOP)
    assert one_value(one_of_them, "SELECT 1") == 1


def test_an_error_names_the_shard(scratch: Any) -> None:
    one_of_them = "|".join(SHARDS)
    with pytest.raises(ProgrammingError, match=f"On the shard '({one_of_them})'"):
        sent(scratch, "SELECT a FROM no_such_table")


def test_who_stops_halfway_in_a_transaction_can_go_on(scratch: Any) -> None:
    many = source("SELECT a FROM generate_series(1, %s) a", [50_000])
    with transaction.atomic(using=SHOP):
        for one in many.connections:
            assert one_value(one, "SELECT 1") == 1
        made = carry_each(scratch.connection, "parts", ["a"], many)
        assert next(made) == (SHARDS[0], 50_000)
        made.close()
        for one in many.connections:
            assert one_value(one, "SELECT 1") == 1


def test_a_lost_shard_is_named(scratch: Any) -> None:
    with apart() as others:
        lost = connections[SHARDS[2]]
        lost.ensure_connection()
        pid = lost.connection.info.backend_pid
        assert one_value(
            others[SHARDS[2]], f"SELECT pg_terminate_backend({pid}, 60000)"
        )
        with pytest.raises(OperationalError, match=f"On the shard '{SHARDS[2]}'"):
            sent(scratch, "SELECT 1 AS a")
    for one in SHARDS:
        connections[one].close()


def test_one_source_is_counted(scratch: Any) -> None:
    one = Source(connections=[connections[SHARDS[0]]], sql="SELECT 5 AS a", params=())
    assert carry(scratch.connection, "parts", ["a"], one) == 1
    assert one_value(scratch.connection, "SELECT a FROM parts") == 5
