"""`shoal.transactions.atomic` over several databases, as Django's over one."""

import asyncio
import contextlib
import copy
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.conf import settings
from django.db import (
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError
from django.test import override_settings

from shoal.errors import CannotPrepare, UnitRefused, UnknownCluster
from shoal.transactions import atomic, joining, tables
from tests.deadlocks import execute, lose_a_deadlock
from tests.integration.publishing.conftest import aliases
from tests.integration.transactions.conftest import (
    TRIO,
    ask,
    decided,
    prepared,
    read,
    stored,
    trio_on,
    write,
)
from tests.waiting import until

on_postgresql = trio_on("postgresql")
IDLE = 0
"""PQTRANS_IDLE."""


class Stop(Exception):
    pass


@pytest.fixture(autouse=True)
def nothing_is_left(trio: str) -> Any:
    yield
    assert prepared() == []
    assert decided() == []
    for alias in TRIO:
        connection = connections[alias]
        assert not connection.in_atomic_block
        assert connection.atomic_blocks == []
        assert "ensure_connection" not in vars(connection)
        assert "close_if_health_check_failed" not in vars(connection)
        assert "is_usable" not in vars(connection)
        assert "temporary_connection" not in vars(connection)
        assert connection.get_autocommit()


def test_commits_on_all() -> None:
    with atomic(*TRIO):
        for alias in TRIO:
            write(alias)
        assert [read(alias) for alias in TRIO] == [[1]] * 3
    assert stored() == [[1]] * 3


def test_is_not_seen_before_the_end(trio: str) -> None:
    with atomic(*TRIO):
        for alias in TRIO:
            write(alias)
        if trio != "with_sqlite":
            assert stored() == [[], [], []]
    assert stored() == [[1]] * 3


def test_rolls_back_on_all() -> None:
    with contextlib.suppress(Stop), atomic(*TRIO):
        for alias in TRIO:
            write(alias)
        raise Stop
    assert stored() == [[], [], []]


def test_a_server_that_was_only_read_takes_no_part() -> None:
    with atomic(*TRIO):
        write("left")
        assert read("right") == read("third") == []
    assert stored() == [[1], [], []]


@pytest.mark.parametrize("alias", TRIO)
def test_one_server_alone(alias: str) -> None:
    with atomic(*TRIO):
        write(alias)
    assert stored(alias) == [[1]]


def test_every_pair() -> None:
    for number, pair in enumerate((TRIO[:2], TRIO[1:], (TRIO[2], TRIO[0]))):
        with atomic():
            for alias in pair:
                write(alias, number)
    assert stored() == [[0, 2], [0, 1], [1, 2]]


def test_a_server_that_refuses_its_part_keeps_the_others_from_theirs() -> None:
    write("third")
    with contextlib.suppress(IntegrityError), atomic(*TRIO):
        write("left")
        write("right")
        write("third")
    assert stored() == [[], [], [1]]


def test_nothing_is_touched_that_is_not_needed() -> None:
    for alias in TRIO:
        connections[alias].close()
    with atomic(*TRIO):
        write("right")
        assert connections["left"].connection is None
        assert connections["left"].in_atomic_block
    assert connections["third"].connection is None


@on_postgresql
def test_a_server_that_is_down_matters_only_to_who_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections["third"].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections["third"].settings_dict, "PORT", "1")
        with atomic(*TRIO):
            write("left")
            write("right")
        with atomic(*TRIO):
            write("left", 2)
            for _ in range(2):
                # It stays in the unit: nothing is written there by itself.
                with pytest.raises(OperationalError, match="Connection refused"):
                    write("third")
                assert connections["third"].in_atomic_block
    assert stored() == [[1, 2], [1], []]


def test_an_inner_block_is_a_savepoint_on_each() -> None:
    with atomic(*TRIO):
        write("left")
        with contextlib.suppress(Stop), atomic(*TRIO):
            write("left", 2)
            write("right", 2)
            raise Stop
        write("right")
        with atomic("left", "third"):
            write("third", 3)
        assert [read(alias) for alias in TRIO] == [[1], [1], [3]]
    assert stored() == [[1], [1], [3]]


def test_an_inner_block_that_fails_without_a_savepoint_breaks_the_whole() -> None:
    with atomic(*TRIO):
        write("left")
        write("right")
        with contextlib.suppress(Stop), atomic("right", savepoint=False):
            raise Stop
        with pytest.raises(TransactionManagementError):
            write("right", 2)
        write("third")
    assert stored() == [[], [], []]


def test_an_inner_block_rolls_back_on_all_if_on_one() -> None:
    with atomic(*TRIO):
        write("left")
        with atomic("left", "right"):
            write("left", 2)
            write("right", 2)
            transaction.set_rollback(True, using="left")
        with atomic("left", "right"):
            write("right", 3)
            # As it is inside of `save()` and `bulk_create()`.
            inner = transaction.atomic(using="left", savepoint=False)
            with contextlib.suppress(Stop), inner:
                write("left", 3)
                raise Stop
        write("third")
    assert stored() == [[1], [], [1]]


def test_an_inner_block_rolls_back_where_nothing_has_begun() -> None:
    seen: list[str] = []
    with atomic(*TRIO):
        with atomic("left", "right"):
            write("right")
            transaction.on_commit(lambda: seen.append("lost"), using="left")
            transaction.set_rollback(True, using="left")
        with contextlib.suppress(Stop), atomic("left", "right"):
            write("right", 2)
            with transaction.atomic(using="left", savepoint=False):
                raise Stop
        write("left", 3)
        write("right", 3)
    assert stored() == [[3], [3], []]
    assert seen == []


@pytest.mark.parametrize("is_touched", [True, False])
def test_an_inner_block_does_not_take_back_that_the_outer_rolls_back(
    is_touched: bool,
) -> None:
    with atomic(*TRIO):
        write("right")
        transaction.set_rollback(True, using="left")
        with contextlib.suppress(Stop), atomic("left", "right"):
            if is_touched:
                with pytest.raises(TransactionManagementError):
                    write("left")
            raise Stop
        with atomic("left", "right"):
            write("right", 2)
    assert stored() == [[], [], []]
    write("left")
    assert stored("left") == [[1]]


@pytest.mark.parametrize("is_touched", [True, False])
def test_an_inner_block_may_say_that_nothing_is_rolled_back(is_touched: bool) -> None:
    with atomic(*TRIO):
        if is_touched:
            read("left")
        transaction.set_rollback(True, using="left")
        with atomic("left", "right"):
            transaction.set_rollback(False, using="left")
            write("left")
        assert not transaction.get_rollback(using="left")
        write("right")
    assert stored() == [[1], [1], []]


@trio_on("postgresql")
def test_an_inner_block_that_cannot_begin_takes_nothing_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop() -> None:
        raise Stop

    with atomic(*TRIO):
        write("left")
        inner = transaction.atomic(using="right", savepoint=False)
        with contextlib.suppress(Stop), inner:
            write("right")
            raise Stop
        monkeypatch.setattr(connections["left"], "savepoint", stop)
        with contextlib.suppress(Stop), atomic("left", "right"):
            pass
        monkeypatch.undo()
    assert stored() == [[], [], []]


def fail_to_release(*, joined: Sequence[str], broken: str) -> None:
    with atomic("left", "right"):
        for alias in joined:
            read(alias)
        with connections[broken].cursor() as cursor, pytest.raises(ProgrammingError):
            cursor.execute("SELECT nothing FROM nowhere")


@on_postgresql
@pytest.mark.parametrize(("other", "broken"), [("left", "right"), ("right", "left")])
def test_an_inner_block_that_cannot_be_released_is_taken_back(
    other: str, broken: str
) -> None:
    with atomic(*TRIO):
        write("third")
        # The last to join is the first to be released.
        with pytest.raises(InternalError, match="aborted"):
            fail_to_release(joined=[other, broken], broken=broken)
        write("left")
        write("right")
    assert stored() == [[1], [1], [1]]


@on_postgresql
def test_what_an_inner_block_has_released_only_the_whole_takes_back() -> None:
    with atomic(*TRIO):
        with pytest.raises(InternalError, match="aborted"):
            fail_to_release(joined=["left", "right"], broken="left")
        with pytest.raises(TransactionManagementError):
            write("right")
        write("third")
    assert stored() == [[], [], []]


def test_an_inner_block_may_name_further_clusters() -> None:
    with atomic("left"):
        write("left")
        with atomic("right"):
            # A unit of its own, as with Django's: it is not named outside.
            write("right")
    assert stored() == [[1], [1], []]
    with contextlib.suppress(Stop), atomic("left"):
        write("left", 2)
        with atomic("left", "third"):
            write("third", 2)
        raise Stop
    assert stored() == [[1], [1], []]


def test_django_s_own_block_inside_is_a_savepoint() -> None:
    with atomic(*TRIO):
        with transaction.atomic(using="left"):
            write("left")
        with contextlib.suppress(Stop), transaction.atomic(using="right"):
            write("right")
            raise Stop
        write("third")
    assert stored() == [[1], [], [1]]


def test_is_refused_inside_of_django_s_own_block() -> None:
    with (
        transaction.atomic(using="right"),
        pytest.raises(UnitRefused, match="A transaction is open on 'right' already"),
        atomic(*TRIO),
    ):
        raise AssertionError("not reached")
    with transaction.atomic(using="right"), atomic("right"):
        write("right")
    assert stored("right") == [[1]]


def test_nothing_joins_a_unit_that_ends_with_a_block_of_django_s() -> None:
    with contextlib.suppress(Stop), transaction.atomic(using="right"):
        with atomic("right"):
            with (
                pytest.raises(UnitRefused, match="open on 'right' already"),
                atomic("left", "right"),
            ):
                raise AssertionError("not reached")
            with atomic("right"):
                write("right")
        raise Stop
    assert stored() == [[], [], []]


def test_two_units_cannot_be_joined() -> None:
    with (
        atomic("left"),
        atomic("right"),
        pytest.raises(UnitRefused, match="would join two units of work"),
        atomic("left", "right"),
    ):
        raise AssertionError("not reached")


def test_durable() -> None:
    with (
        atomic(*TRIO),
        pytest.raises(RuntimeError, match="durable"),
        atomic("left", durable=True),
    ):
        raise AssertionError("not reached")
    with (
        atomic(*TRIO),
        pytest.raises(RuntimeError, match="durable"),
        transaction.atomic(using="left", durable=True),
    ):
        raise AssertionError("not reached")
    with atomic(*TRIO, durable=True):
        write("left")
        write("third")
    assert stored() == [[1], [], [1]]


def test_set_rollback_on_one_rolls_back_all() -> None:
    with atomic(*TRIO):
        write("left")
        write("right")
        transaction.set_rollback(True, using="left")
    assert stored() == [[], [], []]


def test_on_commit_runs_once_after_all_is_decided(trio: str) -> None:
    seen: list[Any] = []

    def look(name: str) -> Any:
        return lambda: seen.append((name, stored(), prepared()))

    with atomic(*TRIO):
        transaction.on_commit(look("waiting"), using="third")
        write("left")
        write("right")
        transaction.on_commit(look("joined"), using="right")
        assert seen == []
    assert seen == [
        (name, [[1], [1], []], []) for name in ("waiting", "joined")
    ] or seen == [(name, [[1], [1], []], []) for name in ("joined", "waiting")]


def test_on_commit_of_what_is_rolled_back_is_not_called() -> None:
    seen: list[str] = []
    with atomic(*TRIO):
        with contextlib.suppress(Stop), atomic(*TRIO):
            transaction.on_commit(lambda: seen.append("waiting"), using="third")
            write("left")
            transaction.on_commit(lambda: seen.append("joined"), using="left")
            raise Stop
        write("right")
        write("third")
        transaction.on_commit(lambda: seen.append("kept"), using="third")
    assert seen == ["kept"]
    with contextlib.suppress(Stop), atomic(*TRIO):
        transaction.on_commit(lambda: seen.append("lost"), using="third")
        write("left")
        transaction.on_commit(lambda: seen.append("lost"), using="left")
        raise Stop
    assert seen == ["kept"]


@pytest.mark.parametrize("is_touched", [True, False])
@pytest.mark.parametrize("is_doomed", [True, False])
def test_on_commit_stays_where_a_block_has_no_savepoint_and_the_rest_is_kept(
    is_touched: bool, is_doomed: bool
) -> None:
    seen: list[str] = []
    with atomic(*TRIO):
        if is_touched:
            read("left")
        if is_doomed:
            # From then on Django makes no savepoint.
            transaction.set_rollback(True, using="left")
        inner = atomic("left", savepoint=is_doomed)
        with contextlib.suppress(Stop), inner:
            transaction.on_commit(lambda: seen.append("inner"), using="left")
            raise Stop
        assert transaction.get_rollback(using="left")
        transaction.set_rollback(False, using="left")
    assert seen == ["inner"]


def test_a_hook_that_fails_leaves_what_is_committed() -> None:
    def fail() -> None:
        raise Stop

    with contextlib.suppress(Stop), atomic(*TRIO):
        write("left")
        write("right")
        transaction.on_commit(fail, using="left", robust=True)
        transaction.on_commit(fail, using="left")
    assert stored() == [[1], [1], []]


def test_as_a_decorator() -> None:
    @atomic(*TRIO)
    def both(number: int, *, fail: bool = False) -> int:
        write("left", number)
        if number % 10:
            both(number - 1)
        write("right", number)
        if fail:
            raise Stop
        return number

    assert both(2) == 2
    with pytest.raises(Stop):
        both(20, fail=True)
    assert stored("left", "right") == [[0, 1, 2]] * 2


def test_as_a_bare_decorator() -> None:
    @atomic
    def all_of_them() -> None:
        write("left")
        write("right")
        raise Stop

    with pytest.raises(Stop):
        all_of_them()
    assert stored() == [[], [], []]


def test_in_threads_at_once() -> None:
    failed: list[BaseException] = []

    @atomic("left", "right")
    def both(number: int) -> None:
        write("left", number)
        write("right", number)

    def run(first: int) -> None:
        try:
            for number in range(first, first + 5):
                both(number)
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[n * 10]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if connections["right"].vendor != "sqlite":
        assert failed == []
    assert stored("left") == stored("right")


def test_django_may_ask_for_the_version_before_anything_else() -> None:
    """As `bulk_create()` does on MariaDB: over a connection that it closes again."""
    for alias in TRIO:
        connections[alias].close()
        del connections[alias]
    with atomic(*TRIO):
        for alias in TRIO:
            with connections[alias].temporary_connection() as cursor:
                cursor.execute("SELECT 1")
            write(alias)
    assert stored() == [[1]] * 3


@pytest.mark.parametrize("is_open", [True, False])
def test_a_server_that_waits_is_usable(is_open: bool) -> None:
    for alias in TRIO:
        if not is_open:
            connections[alias].close()
        with contextlib.suppress(Stop), atomic(*TRIO):
            assert connections[alias].is_usable()
            write(alias)
            raise Stop
    assert stored() == [[], [], []]


@trio_on("postgresql", "mariadb")
def test_a_server_that_is_down_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    connections["left"].close()
    with monkeypatch.context() as down:
        down.setitem(connections["left"].settings_dict, "PORT", "1")
        with atomic(*TRIO):
            write("right")
            assert not connections["left"].is_usable()
    assert stored("right") == [[1]]


@on_postgresql
def test_a_test_may_forbid_what_is_named_and_not_needed() -> None:
    connections["third"].close()
    forbidden = object()
    vars(connections["third"])["temporary_connection"] = forbidden
    try:
        with atomic(*TRIO):
            write("left")
        kept = vars(connections["third"])["temporary_connection"]
    finally:
        vars(connections["third"]).pop("temporary_connection")
    assert kept is forbidden


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_django_s_blocks_without_savepoints_while_a_server_waits(
    is_open: bool, fails: bool
) -> None:
    """As `bulk_create()` and `delete()` enter them: they send nothing themselves."""
    for alias in TRIO:
        if is_open:
            connections[alias].ensure_connection()
        else:
            connections[alias].close()
    with contextlib.suppress(Stop), atomic(*TRIO):
        with transaction.atomic(using="left", savepoint=False):
            write("left")
            with transaction.atomic(using="left", savepoint=False):
                write("left", 2)
        with transaction.atomic(using="right", savepoint=False):
            with contextlib.suppress(Stop), atomic("right", "third"):
                with transaction.atomic(using="right", savepoint=False):
                    write("right")
                write("third")
                raise Stop
            with atomic("right"):
                write("right", 3)
        assert connections["right"].in_atomic_block
        if fails:
            raise Stop
    assert stored() == ([[], [], []] if fails else [[1, 2], [3], []])


@on_postgresql
def test_a_block_that_cannot_begin_leaves_nothing_behind() -> None:
    """An aborted transaction of PostgreSQL takes no savepoint."""
    with contextlib.suppress(TransactionManagementError), atomic(*TRIO):
        write("left")
        with pytest.raises(IntegrityError):
            write("left")
        with pytest.raises(InternalError, match="aborted"), atomic("right", "left"):
            raise AssertionError("not reached")
        write("right")
        with atomic("third"):
            write("third")
    assert stored() == [[], [], []]


def test_names_are_checked() -> None:
    with pytest.raises(UnknownCluster, match="No cluster is named 'lefd'"):
        atomic("lefd").__enter__()
    with pytest.raises(UnknownCluster, match="'catalog_r1' is a replica"):
        atomic("catalog_r1").__enter__()
    with pytest.raises(TypeError, match="names of clusters, not 5"):
        atomic(5).__enter__()  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"names of clusters, not \['left', 'right'\]"):
        atomic(["left", "right"]).__enter__()  # type: ignore[call-overload]


@on_postgresql
def test_an_alias_that_nobody_would_recover_is_refused() -> None:
    with aliases({"stray": dict(connections.settings["left"])}):
        with pytest.raises(UnknownCluster, match="'stray' is in DATABASES, and SHOAL"):
            atomic("left", "stray").__enter__()
        with override_settings(SHOAL={}), atomic("left", "stray"):
            assert connections["stray"].in_atomic_block


def test_coroutines_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot decorate the coroutine function"):

        @atomic("left")
        async def work() -> None: ...

    async def enter() -> None:
        with atomic("left"):
            raise AssertionError("not reached")

    from django.core.exceptions import SynchronousOnlyOperation

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(enter())


def test_raw_commit_is_refused_inside() -> None:
    with atomic(*TRIO):
        write("left")
        write("right")
        with pytest.raises(TransactionManagementError):
            connections["left"].commit()
        with pytest.raises(TransactionManagementError):
            connections["third"].set_autocommit(True)


def test_locks_rows_as_in_any_transaction() -> None:
    write("left")
    with atomic(*TRIO):
        if connections["left"].vendor != "sqlite":
            with connections["left"].cursor() as cursor:
                cursor.execute("SELECT id FROM note FOR UPDATE")
        write("right")
    assert stored() == [[1], [1], []]


def write_beside_a_deadlock(
    alias: str, send: Callable[[Any, str], None] = execute
) -> None:
    with atomic(*TRIO):
        for name in TRIO:
            write(name)
        lose_a_deadlock(alias, "note", "id", send=send)
        # The server that was told the unit's name refuses this, the other does not.
        with contextlib.suppress(OperationalError):
            write(alias, 2)


@trio_on("mariadb")
@pytest.mark.parametrize("alias", TRIO)
def test_a_deadlock_that_nobody_minds_undoes_the_whole(alias: str) -> None:
    """InnoDB has rolled back, and would begin another transaction."""
    write(alias, 100)
    write(alias, 101)
    with pytest.raises(TransactionManagementError):
        write_beside_a_deadlock(alias)
    both = [100, 101]
    assert stored() == [both if name == alias else [] for name in TRIO]


def call_procedure(cursor: Any, sql: str) -> None:
    ask("left", f"CREATE OR REPLACE PROCEDURE change_note() {sql}")
    cursor.callproc("change_note")


def execute_second(cursor: Any, sql: str) -> None:
    cursor.execute(f"SELECT 1; {sql}")
    cursor.nextset()


@trio_on("mariadb")
@pytest.mark.parametrize("send", [call_procedure, execute_second])
def test_a_deadlock_of_which_no_execute_wrapper_hears(
    send: Callable[[Any, str], None],
) -> None:
    write("left", 100)
    write("left", 101)
    with pytest.raises(TransactionManagementError):
        write_beside_a_deadlock("left", send)
    assert stored() == [[100, 101], [], []]


@trio_on("mariadb")
def test_a_deadlock_in_a_project_without_clusters() -> None:
    write("left", 100)
    write("left", 101)
    for alias in TRIO:
        connections[alias].close()
        del connections[alias]
    with override_settings(SHOAL={}), pytest.raises(TransactionManagementError):
        write_beside_a_deadlock("left")
    for alias in TRIO:
        # They are opened anew with the clusters.
        connections[alias].close()
    assert stored() == [[100, 101], [], []]


def write_beside_a_change(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET SESSION innodb_snapshot_isolation = ON")
    with atomic(*TRIO):
        for name in TRIO:
            write(name)
        read(alias)
        ask(alias, "UPDATE note SET text = '7' WHERE id = 100")
        with connections[alias].cursor() as cursor:
            with pytest.raises(OperationalError, match="Record has changed"):
                cursor.execute("UPDATE note SET text = '8' WHERE id = 100")
            with contextlib.suppress(OperationalError):
                write(alias, 2)


@trio_on("mariadb")
@pytest.mark.parametrize("alias", TRIO)
def test_a_changed_row_that_nobody_minds_undoes_the_whole(alias: str) -> None:
    """MariaDB 11.6.2 and later have this on, unless they are told otherwise."""
    write(alias, 100)
    with pytest.raises(TransactionManagementError):
        write_beside_a_change(alias)
    connections[alias].close()
    assert stored() == [[100] if name == alias else [] for name in TRIO]


@trio_on("mariadb")
@pytest.mark.parametrize("alias", TRIO)
def test_tables_that_another_unit_has_made_meanwhile(alias: str) -> None:
    """Of what was made since, REPEATABLE READ shows nothing."""
    ask(alias, "DROP TABLE IF EXISTS shoal_identity, shoal_decision")
    connections[alias].close()
    with connections[alias].cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with atomic(*TRIO):
        for name in TRIO:
            read(name)
        tables.create(alias, tables.DECIDING)
        for name in TRIO:
            write(name)
    connections[alias].close()
    assert stored() == [[1], [1], [1]]


@trio_on("mariadb")
def test_what_is_tried_again_after_a_deadlock() -> None:
    """Django's `Atomic` is the same each time that a decorated function is called."""
    write("left", 100)
    write("left", 101)
    tries: list[str] = []

    @transaction.atomic(using="left")
    def work() -> None:
        tries.append("")
        with atomic("left"):
            write("left")
            if len(tries) == 1:
                lose_a_deadlock("left", "note", "id")
                raise Stop

    with contextlib.suppress(Stop):
        work()
    work()
    assert stored("left") == [[1, 100, 101]]


def end_session(alias: str) -> None:
    """Let the server end the session of the project's own connection."""
    is_postgresql = connections[alias].vendor == "postgresql"
    asked = "pg_backend_pid()" if is_postgresql else "connection_id()"
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {asked}")
        [number] = cursor.fetchone()
    if is_postgresql:
        assert ask(alias, f"SELECT pg_terminate_backend({number}, 30000)") == [(True,)]
        return
    ask(alias, f"KILL {number}")
    there = f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"
    until(lambda: not ask(alias, there))


@trio_on("postgresql", "mariadb")
@pytest.mark.parametrize("alias", TRIO)
def test_a_connection_that_was_lost_before_is_opened_anew(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection: Any = connections[alias]
    end_session(alias)
    monkeypatch.setattr(connection, "health_check_enabled", True)
    monkeypatch.setattr(connection, "health_check_done", False)
    with atomic(*TRIO):
        for name in TRIO:
            write(name)
    assert stored() == [[1]] * 3


@trio_on("postgresql", "mariadb")
def test_a_connection_that_is_lost_before_it_joins_commits_nothing_by_itself() -> None:
    end_session("right")
    with contextlib.suppress(OperationalError), atomic(*TRIO):
        write("left")
        with pytest.raises(OperationalError), atomic(*TRIO):
            write("right", 2)
        write("right", 3)
    # MariaDB says so when a transaction begins, PostgreSQL to its first statement.
    is_postgresql = connections["right"].vendor == "postgresql"
    assert stored() == ([[], [], []] if is_postgresql else [[1], [3], []])


@trio_on("postgresql", "mariadb")
def test_a_connection_that_is_closed_in_a_unit_is_opened_after_it() -> None:
    with atomic(*TRIO):
        write("right")
        read("left")
        connections["third"].close()
    assert stored() == [[], [], []]
    write("third")
    assert stored() == [[], [], [1]]


@pytest.mark.parametrize("alias", TRIO)
def test_a_cursor_that_was_open_before_commits_nothing_by_itself(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        with contextlib.suppress(Stop), atomic(*TRIO):
            cursor.execute("INSERT INTO note VALUES (1, '')")
            raise Stop
        assert stored() == [[], [], []]
        with atomic(*TRIO):
            cursor.execute("INSERT INTO note VALUES (1, '')")
    assert stored(alias) == [[1]]


def test_a_generator_that_another_thread_closes(trio: str) -> None:
    def writing() -> Iterator[None]:
        with atomic(*TRIO):
            write("left", 1)
            write("right", 1)
            yield

    generator = writing()

    def iterate() -> None:
        next(generator)
        connections.close_all()

    thread = threading.Thread(target=iterate)
    thread.start()
    thread.join()
    with pytest.raises(TransactionManagementError, match="has to be closed by the"):
        generator.close()
    assert stored() == [[], [], []]


@pytest.mark.parametrize("place", ["wait", "end_waiting"])
def test_what_a_signal_raises_where_a_connection_waits(
    trio: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    real = getattr(joining, place)

    def stopped(connection: Any, *args: Any) -> None:
        monkeypatch.undo()
        if place == "wait":
            real(connection, *args)
        else:
            del connection.ensure_connection
        raise KeyboardInterrupt

    with atomic(*TRIO):
        write("left", 1)
    monkeypatch.setattr(joining, place, stopped)
    with pytest.raises(KeyboardInterrupt), atomic(*TRIO):
        write("left", 2)
    assert not connections["left"].in_atomic_block
    with atomic(*TRIO):
        write("left", 3)
        write("right", 3)
    assert stored() == [[1, 3], [3], []]


@on_postgresql
@pytest.mark.parametrize("way", ["copy", "stream"])
@pytest.mark.parametrize("are_listed", [True, False])
def test_a_cursor_that_was_open_before_copies_in_the_unit(
    way: str, are_listed: bool, settings: Any
) -> None:
    if not are_listed:
        settings.SHOAL = {}
    connections["left"].close()

    def send(raw: Any) -> None:
        if way == "copy":
            with raw.copy("COPY note FROM STDIN") as copy:
                copy.write_row((1, ""))
        else:
            rows = raw.stream("INSERT INTO note VALUES (1, '') RETURNING id")
            assert [*rows] == [(1,)]

    with connections["left"].cursor() as cursor:
        with contextlib.suppress(Stop), atomic(*TRIO):
            send(cursor)
            raise Stop
        assert stored() == [[], [], []]
        with atomic(*TRIO):
            write("right")
            send(cursor)
            assert connections["left"].connection.info.transaction_status != IDLE
    assert stored() == [[1], [1], []]


@on_postgresql
def test_threads_may_share_what_atomic_returns() -> None:
    unit = atomic("left", "right")
    has_written, may_end = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with contextlib.suppress(Stop), unit:
                write("left", 2)
                write("right", 2)
                has_written.set()
                assert may_end.wait(30)
                raise Stop
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    with unit:
        thread.start()
        write("left", 1)
        write("right", 1)
        assert has_written.wait(30)
    assert stored() == [[1], [1], []]
    may_end.set()
    thread.join(30)
    assert stored() == [[1], [1], []]


def write_in_two_blocks() -> None:
    with atomic("left"):
        write("left")
        with atomic("left", "right"):
            write("right")


@trio_on("with_sqlite")
def test_who_has_to_commit_last_and_comes_late_is_refused() -> None:
    """MariaDB was told at its beginning that it decides, and cannot prepare."""
    with pytest.raises(CannotPrepare, match="has written on 'left' and 'right'"):
        write_in_two_blocks()
    assert stored() == [[], [], []]
    with atomic("left", "right"):
        write("left")
        write("right")
    assert stored() == [[1], [1], []]


@trio_on("mixed")
def test_a_home_server_that_nothing_was_sent_decides_at_its_commit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = copy.deepcopy(settings.SHOAL)
    setting["CLUSTERS"]["left"] = {"TWO_PHASE": False}
    seen: dict[str, list[Any]] = {}

    def look(record: logging.LogRecord) -> bool:
        seen.setdefault(record.getMessage(), decided("left"))
        return True

    caplog.handler.addFilter(look)
    try:
        with override_settings(SHOAL=setting):
            for number in (1, 2):
                # The second time nobody need ask who the home server is.
                caplog.set_level("DEBUG" if number == 2 else "ERROR", "shoal")
                with atomic(*TRIO):
                    write("right", number)
                    write("third", number)
    finally:
        caplog.handler.removeFilter(look)
    assert seen["written"] == seen["prepared"] == []
    assert len(seen["decided"]) == 1
    assert stored() == [[], [1, 2], [1, 2]]
