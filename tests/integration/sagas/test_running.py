"""Runs in this process: retries, waiting, compensation, operators, refusals."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.db.migrations.state import ProjectState

from shoal.errors import (
    DeclarationError,
    SagaConflict,
    SagaDataError,
    SagaInTransaction,
    SettingsError,
    UnknownSaga,
)
from shoal.routing import unit_of_work
from shoal.routing.context import current
from shoal.transactions import saga
from shoal.transactions.saga import (
    Retry,
    Run,
    Saga,
    defining,
    forget,
    overview,
    places,
    resume,
    retry,
    settle,
)
from tests.deadlocks import lose_a_deadlock
from tests.integration.publishing.conftest import aliases
from tests.integration.sagas.conftest import FakeClock, ask, end_sessions, only
from tests.tenants import PATHS, tenant

Steps = Callable[..., Any]


def nothing(run: Run) -> None:
    """A step that does nothing."""


def raising(*errors: Exception | None) -> Steps:
    """Return a step that raises each in turn, and the last again and again."""
    left = list(errors)

    def step(run: Run) -> int:
        error = left.pop(0) if len(left) > 1 else left[0]
        if error is not None:
            raise error
        return run.attempt

    return step


def seconds_until(due: Any, clock: FakeClock) -> float:
    return (due - clock.time).total_seconds()


@pytest.mark.parametrize("after", [float("inf"), float("nan"), 1e12, timedelta.max])
def test_waits_beyond_any_calendar(ledger: str, after: float | timedelta) -> None:
    trip = saga("trip", using="ledger")
    trip.step(raising(Retry(after)))
    standing = trip.start("a")
    assert standing.due is not None
    assert standing.due > standing.begun + timedelta(days=36_000)
    # Neither keeps it others from being seen, or run.
    assert [one.name for one in resume().waiting] == ["trip/a"]
    assert overview("ledger").waiting == 1


@only("postgresql", "mariadb")
def test_in_a_database_of_another_encoding(ledger: str, databases: Any) -> None:
    create = {
        "postgresql": "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc "
        "LOCALE 'C' TEMPLATE template0",
        "mariadb": "CREATE DATABASE latin CHARACTER SET latin1",
    }
    ask("DROP DATABASE IF EXISTS latin")
    ask(create[ledger])
    latin = {**databases["ledger"], "NAME": "latin"}
    with aliases({"latin": latin}):
        trip = saga("trip", using="latin")
        step = trip.step(retries=0, name="café")(raising(ValueError("ž")))
        step.compensate(retries=0)(raising(ValueError("ž")))
        standing = trip.start("a")
    assert standing.state == "stuck"
    said = r"ValueError: \u017e"
    assert standing.steps[0].error == said
    assert standing.error == rf"The compensation of 'caf\xe9' failed. {said}"


def test_writes_that_would_be_lost(ledger: str) -> None:
    trip = saga("trip", using="ledger")

    @trip.step(cluster="goods", backoff=0)
    def add(run: Run) -> None:
        ask("INSERT INTO counted (number) VALUES (1)", alias="goods")
        if run.attempt == 1:
            with (
                contextlib.suppress(ZeroDivisionError),
                transaction.atomic(using="goods", savepoint=False),
            ):
                raise ZeroDivisionError
        if run.attempt == 2:
            transaction.set_rollback(True, using="goods")

    standing = trip.start("a")
    assert (standing.state, standing.steps[0].attempt) == ("finished", 3)
    assert ask("SELECT count(*) FROM counted", alias="goods") == [(1,)]


@only("mariadb")
def test_a_deadlock_that_a_step_does_not_mind(ledger: str) -> None:
    """InnoDB has rolled back, and would begin another transaction."""
    trip = saga("trip", using="ledger")
    for number in (100, 101):
        ask("INSERT INTO counted VALUES (%s)", number, alias="goods")

    @trip.step(cluster="goods", backoff=0)
    def add(run: Run) -> None:
        ask("INSERT INTO counted (number) VALUES (1)", alias="goods")
        if run.attempt == 1:
            lose_a_deadlock("goods", "counted", "number")
        ask("INSERT INTO counted (number) VALUES (2)", alias="goods")

    ask("ALTER TABLE counted ADD PRIMARY KEY (number), ADD text int", alias="goods")
    standing = trip.start("a")
    assert (standing.state, standing.steps[0].attempt) == ("finished", 2)
    found = ask("SELECT number FROM counted WHERE number < 100", alias="goods")
    assert found == [(1,), (2,)]


@only("postgresql")
@pytest.mark.parametrize("path", PATHS)
def test_a_step_of_a_tenant_is_done_once(ledger: str, path: str) -> None:
    """Whoever resumes it may not have the tenant's `search_path`."""
    trip = saga("trip", using="ledger")
    trip.step(cluster="goods")(raising(None))
    assert trip.start("before").is_finished

    with tenant("goods", path, ["shoal_saga_mark", "counted"]):
        assert trip.start("a").is_finished
    assert ask("SELECT count(*) FROM shoal_saga_mark", alias="goods") == [(2,)]


@only("postgresql", "mariadb")
def test_an_operator_while_a_database_is_down(ledger: str, databases: Any) -> None:
    trip = saga("trip", using="ledger")
    step = trip.step(retries=0)(raising(ValueError()))
    step.compensate(retries=0)(raising(ValueError()))
    assert trip.start("a").state == "stuck"
    with aliases({"gone": {**databases["ledger"], "PORT": "1"}}):
        saga("tour", using="gone")
        with pytest.raises(UnknownSaga, match="'gone' could not be asked"):
            settle(["trip/a", "tour/b"])
        assert [one.name for one in retry()] == ["trip/a"]


@only("postgresql", "mariadb")
@pytest.mark.parametrize("first", ["gone", "ledger"])
def test_resumed_while_a_database_is_down(
    ledger: str, databases: Any, clock: FakeClock, first: str
) -> None:
    trip = saga("trip", using="ledger", clock=clock)
    trip.step(raising(Retry(1), None))
    trip.start("a")
    clock.move(2)
    order = sorted(["gone", "ledger"], key=lambda alias: alias != first)
    with aliases({"gone": {**databases["ledger"], "PORT": "1", "PASSWORD": "secret"}}):
        saga("tour", using="gone")
        report = resume(clock=clock, aliases=order)
        again = resume(clock=clock)
    assert [one.name for one in report.finished] == ["trip/a"]
    for one in (report, again):
        assert list(one.down) == ["gone"]
        assert "secret" not in one.down["gone"]
        assert not one.is_clean


@only("postgresql", "mariadb")
def test_a_database_that_goes_while_it_is_resumed(
    ledger: str, clock: FakeClock
) -> None:
    """What has ended before is told, and the rest goes on when it is back."""
    trip = saga("trip", using="ledger", clock=clock)
    answer = raising(Retry(1), Retry(1), None)

    @trip.step
    def charge(run: Run) -> None:
        answer(run)
        if run.saga_key == "b" and run.attempt == 2:
            end_sessions()

    trip.start("a")
    trip.start("b")
    clock.move(2)
    report = resume(clock=clock)
    assert [one.name for one in report.finished] == ["trip/a"]
    assert list(report.down) == ["ledger"]
    report = resume(clock=clock)
    assert [one.name for one in report.finished] == ["trip/b"]
    assert report.is_clean


def test_runs_once_for_a_key(ledger: str) -> None:
    booking = saga("trip", using="ledger")
    calls = []

    @booking.step
    def charge(run: Run) -> dict[str, Any]:
        calls.append((run.key, run.attempt, run.data, dict(run.results)))
        return {"payment": (1, 2)}

    @booking.step(name="tell")
    def send(run: Run) -> None:
        calls.append((run.key, run.attempt, run.data, dict(run.results)))

    assert booking.state(17) is None
    first = booking.start(17, {"amount": 5})
    assert first.is_finished
    assert first.is_over
    assert first.name == "trip/17"
    assert first.results == {"charge": {"payment": [1, 2]}, "tell": None}
    assert booking.start("17", {"amount": 5}) == first == booking.state("17")
    assert calls == [
        ("trip/17/charge", 1, {"amount": 5}, {}),
        ("trip/17/tell", 1, {"amount": 5}, {"charge": {"payment": [1, 2]}}),
    ]
    with pytest.raises(SagaConflict) as caught:
        booking.start("17", {"amount": 6})
    assert str(caught.value) == (
        "The run 'trip/17' was started before, with other data.\n"
        "Hint: Use a key that stands for one piece of work only."
    )
    assert (charge.name, send.name) == ("charge", "tell")


def test_retries_when_it_is_due(ledger: str, clock: FakeClock) -> None:
    booking = saga("trip", using="ledger", clock=clock)
    booking.step(retries=2, backoff=8.0, name="charge")(
        raising(ValueError("one"), ValueError("two"), None)
    )
    standing = booking.start("a")
    assert standing.state == "running"
    assert standing.is_waiting
    assert 8 <= seconds_until(standing.due, clock) <= 12
    assert standing.steps[0].error == "ValueError: one"
    # Neither who starts it again nor who resumes it is too early.
    assert booking.start("a") == standing
    clock.move(7.9)
    report = resume(clock=clock)
    assert [one.name for one in report.waiting] == ["trip/a"]
    assert report.waiting[0].due == standing.due
    clock.move(4.2)
    report = resume(clock=clock)
    assert 16 <= seconds_until(report.waiting[0].due, clock) <= 24
    clock.move(25)
    (finished,) = resume(clock=clock).finished
    assert finished.results == {"charge": 3}
    assert finished.steps[0].error == ""


def test_asks_again_for_days_and_then_gives_up(ledger: str, clock: FakeClock) -> None:
    booking = saga("trip", using="ledger", clock=clock)
    undone = []

    @booking.step(retries=0)
    def confirmed(run: Run) -> None:
        if clock.time - run.begun > timedelta(days=3):
            raise saga.Fail("nobody has answered")
        raise saga.Retry(timedelta(days=1))

    @confirmed.compensate
    def cancelled(run: Run) -> None:
        undone.append((run.key, run.key_of("confirmed"), run.error))

    due = booking.start("a").due
    for _ in range(3):
        assert due == clock.time + timedelta(days=1)
        clock.move(24 * 3600)
        (waiting,) = resume(clock=clock).waiting
        due = waiting.due
    clock.move(24 * 3600)
    (compensated,) = resume(clock=clock).compensated
    assert compensated.error == "Fail: nobody has answered"
    assert compensated.steps[0].attempt == 1
    keys = ("trip/a/confirmed/compensate", "trip/a/confirmed")
    assert undone == [(*keys, "Fail: nobody has answered")]


def test_a_compensation_that_keeps_failing(ledger: str, clock: FakeClock) -> None:
    booking = saga("trip", using="ledger", clock=clock)
    undone = []
    booking.step(name="hotel")(nothing).compensate(lambda run: undone.append("hotel"))
    charge = booking.step(name="charge")(raising(saga.Fail("no money")))
    error = ValueError("x" * 1000)
    charge.compensate(retries=1, backoff=2.0)(raising(error, error, error, None))

    standing = booking.start("a")
    assert standing.state == "compensating"
    assert 2 <= seconds_until(standing.due, clock) <= 3
    clock.move(4)
    report = resume(clock=clock)
    assert not report.is_clean
    (stuck,) = report.stuck
    start = "The compensation of 'charge' failed. ValueError: xxx"
    assert stuck.error.startswith(start)
    assert len(stuck.error) < 400
    assert undone == []
    clock.move(99999)
    assert resume(clock=clock).stuck == report.stuck
    assert booking.start("a").state == "stuck"
    assert overview("ledger").stuck == report.stuck

    with pytest.raises(UnknownSaga) as caught:
        retry(["trip/b"])
    assert str(caught.value) == (
        "No run that is stuck is named 'trip/b'.\n"
        "Hint: Did you mean 'trip/a'? Known: 'trip/a'."
    )
    assert [one.name for one in retry(clock=clock)] == ["trip/a"]
    assert resume(clock=clock).waiting[0].state == "compensating"
    clock.move(4)
    (compensated,) = resume(clock=clock).compensated
    assert compensated.state == "compensated"
    assert undone == ["hotel"]
    with pytest.raises(UnknownSaga):
        settle(["trip/a"])


def test_an_operator_has_seen_to_it(ledger: str) -> None:
    booking = saga("trip", using="ledger")
    charge = booking.step(raising(saga.Fail()))
    charge.compensate(raising(saga.Fail("by hand")))
    assert booking.start("a").state == "stuck"
    (settled,) = settle("trip/a")
    assert settled.is_over
    assert resume() == resume()
    assert resume().is_clean


def test_what_is_no_json_is_compensated(ledger: str) -> None:
    booking = saga("trip", using="ledger")
    undone = []
    step = booking.step(name="charge")(lambda run: object())
    step.compensate(lambda run: undone.append(run.attempt))
    with pytest.raises(SagaDataError) as caught:
        booking.start("a", {"when": {1, 2}})
    assert str(caught.value) == (
        "The data of 'trip/a' is recorded as JSON, which it cannot be: Object of type "
        "set is not JSON serializable.\n"
        "Hint: Use text, numbers, lists and dicts: a primary key for an object, str() "
        "for a date or a Decimal."
    )
    assert booking.state("a") is None
    standing = booking.start("a")
    assert standing.state == "compensated"
    assert standing.error.startswith("SagaDataError: What 'trip/a/charge' returns is")
    assert undone == [1]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", True, None, 1.5, b"a"])
@only("sqlite")
def test_keys_that_no_run_has(ledger: str, key: Any) -> None:
    booking = saga("trip", using="ledger")
    booking.step(nothing)
    with pytest.raises(SagaDataError, match="A run of a saga cannot have the key"):
        booking.start(key)


def test_data_of_all_kinds_comes_back(ledger: str) -> None:
    booking = saga("trip", using="ledger")
    booking.step(name="echo")(lambda run: run.data)
    data = {"text": "Ünïcödé \0 𝄞 ' \" ` % %s", "number": 1.5, "list": [None, True]}
    key = "Straße/% %s 'x' 𝄞"
    assert booking.start(key, data).results == {"echo": data}
    standing = booking.state(key)
    assert standing is not None
    assert standing.data == data
    assert booking.state(key.upper()) is None


def test_refused_inside_a_transaction(ledger: str) -> None:
    booking = saga("trip", using="ledger")
    booking.step(nothing)
    for alias in ("ledger", "goods"):
        with transaction.atomic(alias), pytest.raises(SagaInTransaction) as caught:
            booking.start("a")
        assert str(caught.value) == (
            "The saga 'trip/a' cannot run inside a transaction, and one is open on "
            f"'{alias}': what a saga does stays when that is rolled back.\n"
            f"Hint: Wait for the commit: transaction.on_commit(..., using='{alias}')."
        )
        with transaction.atomic(alias), pytest.raises(SagaInTransaction):
            resume()
    transaction.set_autocommit(False, using="goods")
    try:
        with pytest.raises(SagaInTransaction):
            booking.start("a")
    finally:
        transaction.rollback(using="goods")
        transaction.set_autocommit(True, using="goods")
    assert booking.state("a") is None
    with transaction.atomic("ledger"):
        transaction.on_commit(lambda: booking.start("a"), using="ledger")
        assert booking.state("a") is None
    standing = booking.state("a")
    assert standing is not None
    assert standing.is_finished


def changed(trip: Saga, *names: str, **more: Any) -> None:
    """Let the saga have these steps, as after a deploy."""
    trip.steps.clear()
    for name in names:
        step = trip.step(name=name)(nothing)
        if name not in more.get("without", ()):
            step.compensate(nothing)


def test_a_definition_that_has_changed(ledger: str, clock: FakeClock) -> None:
    trip = saga("trip", using="ledger", clock=clock)
    way_out = "Deploy a definition that has what this run began with, then retry it."

    def begun(key: str) -> None:
        changed(trip, "a", "b")
        trip.steps["b"].function = raising(saga.Retry(1))
        assert trip.start(key).is_waiting
        clock.move(2)

    def fact() -> str:
        (stuck,) = resume(clock=clock).stuck
        settle([stuck.name])
        return stuck.error

    begun("1")
    changed(trip, "a")
    assert fact() == f"The definition has no step 'b' any more. {way_out}"
    begun("2")
    changed(trip, "b", "a")
    of_both = "Step 1 of this run is 'a', and of the definition 'b'."
    assert fact() == f"{of_both} {way_out}"
    begun("3")
    changed(trip, "a", "b", without="a")
    assert fact() == f"The step 'a' has lost its compensation. {way_out}"
    begun("4")
    changed(trip, "a", "b", "c")
    (finished,) = resume(clock=clock).finished
    assert list(finished.results) == ["a", "b", "c"]

    begun("5")
    changed(trip, "b")
    (stuck,) = resume(clock=clock).stuck
    changed(trip, "a", "b")
    retry([stuck.name])
    assert [one.name for one in resume(clock=clock).finished] == ["trip/5"]


def test_a_saga_that_nobody_defines(ledger: str, clock: FakeClock) -> None:
    trip = saga("trip", using="ledger", clock=clock)
    trip.step(raising(saga.Retry(1)))
    trip.start("a")
    del defining._registry["trip"]
    for _ in range(2):
        report = resume(clock=clock)
        assert [one.name for one in report.unknown] == ["trip/a"]
        assert not report.is_clean
        clock.move(2)
    other = saga("trip", using="goods")
    other.step(nothing)
    assert [one.name for one in resume(clock=clock).unknown] == ["trip/a"]


def forget_connections() -> None:
    """The thread stays, and would ask the databases of this test in the next."""
    for alias in ("ledger", "goods"):
        connections[alias].close()
        del connections[alias]


def test_coroutines(ledger: str) -> None:
    trip = saga("trip", using="ledger")

    @trip.step
    async def charge(run: Run) -> str:
        await asyncio.sleep(0)
        return run.key

    @trip.step(retries=0)
    async def fails(run: Run) -> None:
        await asyncio.sleep(0)
        raise ValueError

    @fails.compensate
    async def undo(run: Run) -> None:
        await asyncio.sleep(0)
        undone.append(run.key)

    undone: list[str] = []
    assert trip.start("a").results == {"charge": "trip/a/charge"}

    async def both() -> None:
        standing = await trip.astart("b")
        assert standing == await trip.astate("b")
        assert standing.state == "compensated"
        await sync_to_async(forget_connections)()

    asyncio.run(both())
    assert undone == ["trip/a/fails/compensate", "trip/b/fails/compensate"]


def test_nothing_of_the_data_is_logged(
    ledger: str, caplog: pytest.LogCaptureFixture
) -> None:
    trip = saga("trip", using="ledger")
    trip.step(name="one")(lambda run: "secret result")
    trip.step(name="two", retries=1, backoff=0)(raising(ValueError("secret text")))
    with caplog.at_level(logging.DEBUG, "shoal.transactions.saga"):
        standing = trip.start("a", {"card": "secret data"})
    records = [r for r in caplog.records if r.name == "shoal.transactions.saga"]
    events = [(r.event, r.levelname) for r in records]  # type: ignore[attr-defined]
    assert events == [
        ("saga_begun", "INFO"),
        ("step_begun", "DEBUG"),
        ("step_returned", "DEBUG"),
        ("step_done", "DEBUG"),
        ("step_begun", "DEBUG"),
        ("step_waits", "WARNING"),
        ("step_begun", "DEBUG"),
        ("step_failed", "WARNING"),
        ("saga_compensated", "WARNING"),
    ]
    everything = json.dumps([vars(r) for r in records], default=str)
    assert "secret" not in everything + repr(standing)
    assert '"error": "ValueError"' in everything


def test_a_step_may_close_every_connection(ledger: str) -> None:
    trip = saga("trip", using="ledger")
    trip.step(name="one")(lambda run: connections.close_all())
    trip.step(name="two", cluster="goods")(nothing)
    assert trip.start("a").is_finished


def test_what_a_step_writes_on_a_cluster_is_rolled_back(ledger: str) -> None:
    trip = saga("trip", using="ledger")

    @trip.step(cluster="goods", retries=1, backoff=0)
    def one(run: Run) -> None:
        ask("INSERT INTO counted VALUES (%s)", run.attempt, alias="goods")
        if run.attempt == 1:
            raise ValueError

    assert trip.start("a").is_finished
    assert ask("SELECT number FROM counted", alias="goods") == [(2,)]


@only("sqlite")
def test_where_runs_are_recorded(ledger: str, settings: Any) -> None:
    assert saga("one").alias == "ledger"
    assert saga("two", using="goods").alias == "goods"
    settings.SHOAL = {"CLUSTERS": {"goods": {"REPLICAS": ["ledger"]}}}
    facts = {
        None: "Nothing says where the runs of the saga 'x' are recorded: the project "
        "has no control database and no 'default'.\n"
        "Hint: Name an alias: saga('x', using=\"...\").",
        "ledger": "The saga 'x' is to be on 'ledger', which is a replica.\n"
        "Hint: Name its primary, 'goods'.",
        "legder": "The saga 'x' is to be on 'legder', which is not in DATABASES.\n"
        "Hint: Did you mean 'ledger'? Known: ",
    }
    for using, fact in facts.items():
        trip = saga("x", using=using)
        trip.step(nothing)
        with pytest.raises(SettingsError) as caught:
            trip.start("a")
        assert str(caught.value).startswith(fact)
        del defining._registry["x"]
    trip = saga("y", using="goods")
    trip.step(nothing)
    trip.step(name="two", cluster="ledger")(nothing)
    with pytest.raises(SettingsError, match="The step 'two' of the saga 'y' is to be"):
        trip.start("a")
    with pytest.raises(DeclarationError, match="The saga 'z' has no steps"):
        saga("z", using="goods").start("a")


def test_runs_that_are_forgotten(ledger: str, clock: FakeClock) -> None:
    calls = []
    trip = saga("trip", using="ledger", clock=clock)
    trip.step(cluster="goods", name="one")(lambda run: calls.append(run.saga_key))
    wait = trip.step(name="two")(raising(None, saga.Retry(1), None))
    wait.compensate(nothing)

    def left() -> list[int]:
        sql = "SELECT count(*) FROM shoal_saga"
        counts = [ask(sql), ask(f"{sql}_step"), ask(f"{sql}_mark", alias="goods")]
        return [number for ((number,),) in counts]

    assert forget(timedelta(0)) == 0
    trip.start("over")
    trip.start("waits")
    clock.move(60)
    trip.start("new")
    assert left() == [3, 6, 3]
    assert forget(timedelta(seconds=61), clock=clock) == 0
    assert forget(timedelta(seconds=60), clock=clock) == 1
    assert left() == [2, 4, 2]
    trip.start("over")
    assert calls == ["over", "waits", "new", "over"]
    del defining._registry["trip"]
    assert forget(timedelta(0), clock=clock) == 0


def test_tables_are_those_of_the_migration(ledger: str) -> None:
    names = [model._meta.db_table for model in places.TABLES]

    def described() -> dict[str, Any]:
        connection: Any = connections["ledger"]
        with connection.cursor() as cursor:
            look = connection.introspection
            return {
                name: (
                    [c[:7] for c in look.get_table_description(cursor, name)],
                    sorted(
                        (kind["columns"], kind["unique"], kind["index"])
                        for kind in look.get_constraints(cursor, name).values()
                    ),
                )
                for name in names
            }

    with places.opened("ledger") as there:
        there.create_tables()
    by_us = described()
    for name in names:
        ask(f"DROP TABLE {name}")
    migration = import_module("shoal.migrations.0004_sagas").Migration("x", "shoal")
    with connections["ledger"].schema_editor() as editor:
        migration.apply(ProjectState(), editor)
    assert described() == by_us


@only("sqlite")
def test_each_run_that_is_resumed_reads_what_others_wrote(
    ledger: str, clock: FakeClock
) -> None:
    units, pins = [], []
    trip = saga("trip", using="ledger", clock=clock)
    trip.step(name="wait")(raising(saga.Retry(1), saga.Retry(1), None))

    @trip.step
    def look(run: Run) -> None:
        units.append(current().unit)
        pins.append(current().pins["goods"])

    with unit_of_work():
        trip.start("a")
        trip.start("b")
        clock.move(2)
        assert len(resume(clock=clock).finished) == 2
        assert len({id(unit) for unit in [*units, current().unit]}) == 3
        assert pins == [True, True]
