"""Statements for several servers on their way at once, and decisions that are left."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, InternalError, connections

from shoal.topology.probe.asking import close, open_apart
from shoal.transactions import atomic, decisions, wires
from shoal.transactions.recovering import recover
from tests.integration.transactions.conftest import (
    TRIO,
    ask,
    decided,
    stored,
    trio_on,
    write,
)
from tests.waiting import until

INSERT = "INSERT INTO note VALUES (1, '')"
AT_IT = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.processlist "
    "WHERE db = database() AND info LIKE 'INSERT%' AND id <> connection_id()",
}


@contextlib.contextmanager
def held_until_all_wait(then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let nobody insert before all three servers are at it; then do something."""
    is_held = threading.Event()

    def hold() -> None:
        with contextlib.ExitStack() as stack:
            for alias in TRIO:
                connection: Any = open_apart(alias)
                stack.callback(close, connection)
                cursor = stack.enter_context(connection.cursor())
                cursor.execute("BEGIN")
                cursor.execute(INSERT)
            is_held.set()
            until(lambda: all(ask(a, AT_IT[vendors[a]]) == [(1,)] for a in TRIO))
            then()

    vendors = {alias: connections[alias].vendor for alias in TRIO}
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert is_held.wait(30)
        yield
        holding.result()


def all_at_once(*sqls: str) -> list[BaseException | None]:
    works = [
        (connections[alias], wires.sent(connections[alias], sql))
        for alias, sql in zip(TRIO, sqls, strict=True)
    ]
    return wires.all_at_once(works)


@pytest.fixture(params=["drivers that post", "threads"])
def way(request: Any, trio: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for alias in TRIO:
        connections[alias].ensure_connection()
    if request.param == "threads":
        monkeypatch.setattr(wires, "_driver", lambda connection: "")
    return str(request.param)


@trio_on("postgresql", "mariadb", "mixed")
def test_all_are_waited_for_together(way: str) -> None:
    with held_until_all_wait():
        assert all_at_once(*[INSERT] * 3) == [None] * 3
    assert stored() == [[1]] * 3


def test_the_error_of_one_is_kept_and_the_others_go_on(way: str) -> None:
    left, right, third = all_at_once(
        "INSERT INTO note VALUES (1, '')",
        "INSERT INTO nothing VALUES (1, '')",
        "INSERT INTO note VALUES (3, '')",
    )
    assert left is third is None
    assert isinstance(right, DatabaseError)
    assert stored() == [[1], [], [3]]


@trio_on("postgresql")
def test_a_transaction_that_is_broken_does_not_prepare(way: str) -> None:
    wires.send(connections["left"], "BEGIN")
    with pytest.raises(DatabaseError):
        wires.send(connections["left"], "SELECT nothing")
    with pytest.raises(InternalError, match="has answered ROLLBACK to PREPARE"):
        wires.send(connections["left"], "PREPARE TRANSACTION 'broken'")


def test_the_first_value_is_returned(way: str) -> None:
    for alias in TRIO:
        assert int(wires.send(connections[alias], "SELECT 7")) == 7


def is_at(thread: int, function: str) -> bool:
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


@trio_on("postgresql")
def test_who_is_interrupted_loses_no_answer(trio: str) -> None:
    for alias in TRIO:
        connections[alias].ensure_connection()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: is_at(main, "_take_from_psycopg"))
        signal.pthread_kill(main, signal.SIGINT)

    with held_until_all_wait(interrupt):
        found = all_at_once(*[INSERT] * 3)
    assert [type(one) for one in found] == [KeyboardInterrupt, type(None), type(None)]
    # The one that was waited for is closed: nobody may read its answer for another's.
    assert [connections[alias].connection is None for alias in TRIO] == [
        True,
        False,
        False,
    ]
    connections[TRIO[0]].ensure_connection()
    assert [wires.send(connections[alias], "SELECT 1") for alias in TRIO] == [b"1"] * 3


@trio_on("postgresql", "mariadb")
def test_decisions_that_are_left_are_few(
    trio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "TOGETHER", 4)
    for number in range(10):
        with atomic("left", "right"):
            write("left", number)
            write("right", number)
        assert len(decided()) == (number + 1) % 4
    recover(wait=0)
    assert decided() == []
    for number in range(10, 20):
        # Of these, somebody else has deleted two.
        with atomic("left", "right"):
            write("left", number)
            write("right", number)
    assert len(decided()) == 0


@trio_on("mariadb")
def test_what_follows_is_in_no_transaction_if_decisions_stay(
    trio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(connection: Any, sqls: Any) -> Any:
        other = [sql.replace("shoal_decision", "nothing") for sql in sqls]
        return wires.sent_in_turn(connection, other)

    monkeypatch.setattr(decisions, "sent_in_turn", lose)
    with atomic("left", "right"):
        write("left")
        write("right")
    for alias in TRIO:
        write(alias, 2)
    assert stored() == [[1, 2], [1, 2], [2]]
    ask("left", "DELETE FROM shoal_decision")


@trio_on("postgresql")
def test_a_server_that_was_seen_to_be_written_is_not_asked(
    trio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(connection: Any) -> Any:
        asked.append(connection.alias)
        return (yield from what_was_done(connection))

    from shoal.transactions import parts

    what_was_done = parts.what_was_done
    monkeypatch.setattr(parts, "what_was_done", note)
    with atomic(*TRIO):
        write("left")
        write("right")
        with connections["third"].cursor() as cursor:
            cursor.execute("DELETE FROM note WHERE id = 5")
    assert asked == ["third"]
    assert stored() == [[1], [1], []]
    with atomic(*TRIO):
        for alias in TRIO:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT count(*) FROM note")
    assert asked == ["third", *TRIO]


@pytest.mark.parametrize("multi", [True, False])
@trio_on("mariadb")
def test_several_statements_end_with_the_first_error(way: str, multi: bool) -> None:
    options = connections["left"].settings_dict["OPTIONS"]
    before = dict(options)
    options["multi_statements"] = multi
    connections["left"].close()
    connections["left"].ensure_connection()
    try:
        for sqls, last in (
            (["INSERT INTO note VALUES (1, '')", "INSERT INTO note VALUES (2, '')"], 2),
            (["INSERT INTO note VALUES (3, '')", "INSERT INTO nothing VALUES (4)"], 3),
            (["INSERT INTO nothing VALUES (5)", "INSERT INTO note VALUES (5, '')"], 3),
        ):
            with contextlib.suppress(DatabaseError):
                wires.done(wires.sent_in_turn(connections["left"], sqls))
            assert stored("left")[0][-1] == last
    finally:
        options.clear()
        options.update(before)
        connections["left"].close()
