"""Numbers for ids: nobody gets one twice, whoever asks, rolls back or is killed."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction

from shoal.errors import MapMissing
from shoal.placement import sequences
from shoal.placement.buckets import create_tables
from shoal.placement.control import Control
from shoal.placement.sequences import BLOCK, forget, next_ids, raise_to, restart
from tests.integration.sharding.conftest import ask, drop_tables, only, sharded

SHOP = sharded()


@pytest.fixture(autouse=True)
def tables(control: str) -> Iterator[None]:
    create_tables()
    yield
    forget()


def take(count: int = 1, *, table: str = "reviews", largest: int = 0) -> list[int]:
    return next_ids(SHOP, table, count, largest=lambda: largest)


def stored(table: str = "reviews") -> int:
    sql = "SELECT %s FROM shoal_sequence WHERE %s = %%s"
    name = connections["control"].ops.quote_name
    # Bytes equal text on MariaDB.
    return ask(sql % (name("next"), name("table")), table)[0][0]  # type: ignore[no-any-return]


def never() -> int:
    raise AssertionError("The sequence is there.")


def test_numbers_ascend_from_above_the_largest() -> None:
    assert take(3, largest=41) == [42, 43, 44]
    assert next_ids(SHOP, "reviews", 2, largest=never) == [45, 46]
    assert take(2, table="products") == [1, 2]
    assert take(1, largest=-5, table="negative") == [1]
    other = sharded(name="other")
    assert next_ids(other, "reviews", 1, largest=lambda: 0) == [1]
    assert take(0) == []
    assert take(0, table="unknown") == []


def test_a_block_serves_many_calls() -> None:
    assert [number for _ in range(BLOCK) for number in take()] == [*range(1, BLOCK + 1)]
    assert stored() == BLOCK + 1
    assert take() == [BLOCK + 1]
    assert stored() == 2 * BLOCK + 1


def test_more_numbers_than_a_block_has() -> None:
    assert take(5) == [1, 2, 3, 4, 5]
    many = take(3 * BLOCK)
    assert many == [*range(6, 3 * BLOCK + 6)]
    # Of which the first block had all but five.
    assert stored() == 3 * BLOCK + 6
    assert take() == [3 * BLOCK + 6]
    assert stored() == 4 * BLOCK + 6


def test_a_process_that_forgets_goes_on_elsewhere() -> None:
    take()
    forget()
    assert take() == [BLOCK + 1]


def test_numbers_of_a_rollback_are_lost() -> None:
    seen = take(2)
    for _ in range(3):
        with transaction.atomic("control"):
            seen += take(2)
            seen += take(BLOCK)
            transaction.set_rollback(True, using="control")
    seen += take(2)
    assert seen == sorted(set(seen))


def test_a_block_is_not_begun_where_it_may_be_rolled_back() -> None:
    seen = []
    for count in (3, 2):
        with transaction.atomic("control"):
            seen += take(count)
            transaction.set_rollback(True, using="control")
    seen += take(1)
    # Also where the row itself has gone with the first transaction.
    assert seen == [1, 2, 3, 4, 5, 6]


def test_raised() -> None:
    take()
    raise_to(SHOP, "reviews", 500)
    assert take() == [501]
    raise_to(SHOP, "reviews", 400)
    assert take() == [502]
    raise_to(SHOP, "reviews", 10 * BLOCK)
    assert take() == [10 * BLOCK + 1]
    forget()
    raise_to(SHOP, "reviews", 3)
    assert take() == [11 * BLOCK + 1]


def test_raised_before_it_begins() -> None:
    raise_to(SHOP, "reviews", 500)
    assert take(largest=7) == [501]
    raise_to(SHOP, "products", 500, largest=lambda: 7)
    assert stored("products") == 501
    raise_to(SHOP, "pages", 7, largest=lambda: 500)
    assert take(table="pages") == [501]


def test_raising_asks_nobody_who_is_known_to_be_above() -> None:
    take()
    raise_to(SHOP, "reviews", 5 * BLOCK)
    drop_tables()
    raise_to(SHOP, "reviews", 5 * BLOCK)
    raise_to(SHOP, "reviews", BLOCK)
    with pytest.raises(MapMissing, match="no table 'shoal_"):
        raise_to(SHOP, "reviews", 5 * BLOCK + 1)


def test_raised_in_a_transaction_that_is_rolled_back() -> None:
    take()
    with transaction.atomic("control"):
        raise_to(SHOP, "reviews", 5 * BLOCK)
        transaction.set_rollback(True, using="control")
    assert take() == [5 * BLOCK + 1]
    assert stored() > 5 * BLOCK
    raise_to(SHOP, "reviews", 5 * BLOCK)


def test_raised_where_numbers_were_rolled_back() -> None:
    take()
    with transaction.atomic("control"):
        take(2 * BLOCK)
        transaction.set_rollback(True, using="control")
    raise_to(SHOP, "reviews", BLOCK + 500)
    assert stored() > BLOCK + 500


def test_restarted() -> None:
    take(table="products")
    take(2)
    restart(SHOP, "reviews")
    assert take(2) == [1, 2]
    restart(SHOP, "reviews")
    assert take(2, largest=9) == [10, 11]
    assert take(table="products") == [2]


def test_threads() -> None:
    barrier = threading.Barrier(8)

    def run(_: int) -> list[int]:
        barrier.wait()
        return [number for i in range(60) for number in take(i % 5 + 1)]

    with small_blocks(), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    numbers = [number for one in found for number in one]
    assert len(numbers) == 8 * 12 * (1 + 2 + 3 + 4 + 5)
    assert len(set(numbers)) == len(numbers)


def test_who_begins_a_sequence_at_once() -> None:
    barrier = threading.Barrier(4)

    def run(_: int) -> list[tuple[str, int]]:
        """Do it as a process of its own would."""
        found = []
        for table in map(str, range(25)):
            numbers = sequences._Numbers("shop", table)
            barrier.wait()
            found += [(table, n) for n in sequences._fetch_block(numbers, 3, lambda: 7)]
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [number for one in pool.map(run, range(4)) for number in one]
    assert len(set(found)) == len(found) == 4 * 25 * 3
    assert min(number for _, number in found) == 8


@contextlib.contextmanager
def small_blocks() -> Iterator[None]:
    sequences.BLOCK = 50
    try:
        yield
    finally:
        sequences.BLOCK = BLOCK


def begin(**task: Any) -> "subprocess.Popen[str]":
    task = {"threads": 1, "calls": 40, "block": 5, "fork": False, **task}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.sharding.taking", json.dumps(task)],
        stdout=subprocess.PIPE,
        text=True,
    )


def printed(process: "subprocess.Popen[str]") -> list[int]:
    """Return the numbers of all whole lines."""
    assert process.stdout
    # communicate() forgets what readline() has read ahead.
    with process.stdout:
        text = process.stdout.read()
    process.wait()
    return [int(number) for number in text.rpartition("\n")[0].split()]


def test_processes_with_threads(control_database: dict[str, Any]) -> None:
    processes = [begin(database=control_database, threads=2) for _ in range(4)]
    numbers = [number for process in processes for number in printed(process)]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(numbers) == 4 * 2 * 10 * (1 + 2 + 3 + 4)
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) == 101


def test_what_is_rolled_back_here_goes_to_others(
    control_database: dict[str, Any],
) -> None:
    with transaction.atomic("control"):
        take(3, largest=100)
        transaction.set_rollback(True, using="control")
    numbers = take(1, largest=100)
    numbers += printed(begin(database=control_database))
    numbers += take(5)
    assert len(numbers) == 1 + 100 + 5
    assert len(set(numbers)) == len(numbers)


def test_processes_that_are_killed(control_database: dict[str, Any]) -> None:
    processes = [
        begin(database=control_database, calls=10**6 if i < 2 else 40) for i in range(4)
    ]
    found = []
    for process in processes[:2]:
        assert process.stdout
        found += [int(n) for _ in range(5) for n in process.stdout.readline().split()]
        process.kill()
    found += [number for process in processes for number in printed(process)]
    assert [process.returncode for process in processes] == [-9, -9, 0, 0]
    found += take(BLOCK)
    assert len(set(found)) == len(found)


def test_a_fork_has_blocks_of_its_own(control_database: dict[str, Any]) -> None:
    process = begin(database=control_database, fork=True, calls=4, block=BLOCK)
    numbers = printed(process)
    assert process.returncode == 0
    assert len(numbers) == 1 + 2 * 10
    assert len(set(numbers)) == len(numbers)


@only("postgresql")
@pytest.mark.parametrize(
    "more",
    [{"OPTIONS": {"isolation_level": 4}}, {"AUTOCOMMIT": False}],
    ids=["serializable", "no autocommit"],
)
def test_the_project_has_other_transactions(
    control_database: dict[str, Any], more: dict[str, Any]
) -> None:
    processes = [begin(database=control_database | more, threads=2) for _ in range(2)]
    numbers = [number for process in processes for number in printed(process)]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(set(numbers)) == len(numbers) == 400


@only("mariadb")
def test_mariadb_repeats_its_reads(control_database: dict[str, Any]) -> None:
    options = {**control_database.get("OPTIONS", {})}
    options["isolation_level"] = "repeatable read"
    database = {**control_database, "OPTIONS": options}
    processes = [begin(database=database, threads=2) for _ in range(2)]
    numbers = [number for process in processes for number in printed(process)]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(set(numbers)) == len(numbers) == 400


def test_threads_that_share_a_connection_take_turns(control: str) -> None:
    """As a test and its live server do on SQLite in memory."""
    if control != "sqlite":
        pytest.skip("Only there the control database is asked on a shared connection.")
    connection = connections["control"]
    connection.ensure_connection()
    entered = threading.Event()

    def enter() -> None:
        with Control(connection).transaction():
            entered.set()

    thread = threading.Thread(target=enter)
    with Control(connection).transaction():
        thread.start()
        assert not entered.wait(0.5)
    thread.join(60)
    assert entered.is_set()


class Late(Control):
    """Looked for a transaction of the project just before one began."""

    is_in_transaction = False
    is_in_memory = True


def test_a_thread_waits_for_a_transaction_on_a_shared_connection(control: str) -> None:
    if control != "sqlite":
        pytest.skip("Only there the control database is asked on a shared connection.")
    connection = connections["control"]
    connection.ensure_connection()
    ended: list[bool] = []

    def enter() -> None:
        with Late(connection).transaction():
            ended.append(has_ended.is_set())

    has_ended, thread = threading.Event(), threading.Thread(target=enter)
    connection.connection.execute("BEGIN")
    thread.start()
    thread.join(0.2)
    has_ended.set()
    connection.connection.execute("COMMIT")
    thread.join(60)
    assert ended == [True]


@only("postgresql")
def test_many_large_calls_ask_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the batches of a `bulk_create` do."""
    asked, advance = [], sequences._advance

    def counted(control: Control, numbers: Any, size: int) -> Any:
        asked.append(size)
        return advance(control, numbers, size)

    monkeypatch.setattr(sequences, "_advance", counted)
    take()
    asked.clear()
    found = [number for _ in range(20) for number in take(2 * BLOCK)]
    assert found == sorted(set(found))
    assert len(asked) <= 6
    # No more than was used is left.
    assert sum(asked) <= 2 * len(found)
