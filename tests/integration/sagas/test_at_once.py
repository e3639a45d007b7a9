"""Several processes want one run."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from shoal.errors import SagaTaken
from shoal.transactions import tables
from shoal.transactions.saga import Run, resume
from shoal.transactions.saga import saga as new_saga
from shoal.transactions.saga.places import Ledger, opened
from shoal.transactions.saga.recording import Turn, read
from tests.integration.sagas.conftest import Processes, ask, end_sessions, only
from tests.integration.sagas.shop import sagas
from tests.waiting import until

STEPS = ["hotel", "note", "charge", "ticket"]
INSIDE = 4
"""The event in the middle of the first step, after its effect."""


def names(processes: Processes) -> list[str]:
    return [name for name, _, _ in processes.lines()]


@pytest.mark.parametrize("round", range(3))
def test_started_by_several(processes: Processes, round: int) -> None:
    pids = [processes.start("order") for _ in range(4)]
    # One of them may have come while a table was made by another.
    assert [processes.wait(pid) for pid in pids] == [0] * 4
    assert names(processes) == STEPS
    assert ask("SELECT count(*) FROM shoal_saga") == [(1,)]
    standing = sagas.booking.state("order")
    assert standing is not None
    assert standing.is_finished


@pytest.mark.parametrize("first", ["start", "state"])
def test_another_makes_the_tables_meanwhile(
    ledger: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = new_saga("trip", using="ledger")
    trip.step(wait)
    lacks_tables = Ledger.lacks_tables

    def made_by_another(self: Ledger) -> bool:
        tables.create(self.alias)
        return lacks_tables(self)

    monkeypatch.setattr(Ledger, "lacks_tables", made_by_another)
    if first == "state":
        assert trip.state("a") is None
    assert trip.start("a").key == "a"


@pytest.mark.parametrize("round", range(3))
def test_resumed_by_several(processes: Processes, round: int) -> None:
    keys = [f"order-{number}" for number in range(4)]
    for key in keys:
        assert processes.wait(processes.start(key, at=2)) == -signal.SIGKILL
    pids = [processes.resume() for _ in range(4)]
    assert [processes.wait(pid) for pid in pids] == [0] * 4
    lines = sorted(tuple(line[:2]) for line in processes.lines())
    assert lines == sorted((s, f"booking/{key}/{s}") for key in keys for s in STEPS)


def test_by_threads_of_one_process(ledger: str) -> None:
    calls = []
    trip = new_saga("trip", using="ledger")

    @trip.step
    def slow(run: Run) -> None:
        calls.append(run.key)
        # Whoever comes meanwhile finds it taken, and does not wait.
        standing = trip.start("a")
        assert (standing.state, standing.steps[0].state) == ("running", "begun")
        assert [one.name for one in resume().running] == ["trip/a"]

    def start(number: int) -> Any:
        try:
            return trip.start("a").state
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(start, range(4))) <= {"running", "finished"}
    standing = trip.state("a")
    assert standing is not None
    assert standing.is_finished
    assert calls == ["trip/a/slow"]


def test_a_process_that_is_stopped_keeps_its_run(processes: Processes) -> None:
    pid = processes.start("order", at=INSIDE, stop=True)
    assert processes.wait(pid, stopped=True) is None
    report = resume()
    assert [one.name for one in report.running] == ["booking/order"]
    assert report.is_clean
    assert names(processes) == ["hotel"]
    os.kill(pid, signal.SIGCONT)
    assert processes.wait(pid) == 0
    assert names(processes) == STEPS


def test_a_process_that_is_killed_loses_it(processes: Processes) -> None:
    pid = processes.start("order", at=INSIDE, stop=True)
    assert processes.wait(pid, stopped=True) is None
    os.kill(pid, signal.SIGKILL)
    assert processes.wait(pid) == -signal.SIGKILL
    until_ended()
    assert names(processes) == ["hotel", *STEPS]


@only("postgresql", "mariadb")
def test_a_process_that_has_lost_its_connection_writes_no_more(
    processes: Processes, vendor: str
) -> None:
    pid = processes.start("order", at=INSIDE, stop=True)
    assert processes.wait(pid, stopped=True) is None
    end_sessions()
    until_ended()
    done = names(processes)
    assert done == ["hotel", *STEPS]
    before = sagas.booking.state("order")
    os.kill(pid, signal.SIGCONT)
    assert processes.wait(pid) == 1
    assert processes.errors().startswith("OperationalError: ")
    assert names(processes) == done
    assert sagas.booking.state("order") == before


@only("postgresql", "mariadb")
def test_a_step_commits_nothing_after_its_compensation(
    processes: Processes, vendor: str
) -> None:
    at = {"at": INSIDE, "stop": True}
    pid = processes.start("order", saga="counting", fails="one", **at)
    assert processes.wait(pid, stopped=True) is None
    end_sessions()
    until_ended("compensated")
    assert names(processes) == ["one", "one", "minus_one"]
    os.kill(pid, signal.SIGCONT)
    assert processes.wait(pid) == 1
    # The late one had done half of its work by then, and now does the rest.
    assert ask("SELECT sum(number) FROM counted", alias="goods") == [(-2,)]


def until_ended(how: str = "finished") -> None:
    """Resume until the server has seen that a process has gone."""
    until(lambda: getattr(resume(), how))


def test_who_has_lost_its_turn_writes_no_more(ledger: str) -> None:
    """As if its lock were lost and its connection not."""
    trip = new_saga("trip", using="ledger")
    trip.step(wait)
    trip.start("a")
    with opened("ledger") as there, there.open() as control:
        run = read(control, "trip", "a")
        assert run is not None
        first = Turn(there, run)
        second = Turn(there, run)
        before = trip.state("a")
        with pytest.raises(SagaTaken) as caught:
            first.begin("wait", 1.0, has_compensation=False)
        assert str(caught.value) == (
            "The run 'trip/a' is not this process's any more: its connection was lost, "
            "and another process has taken it, or its rows were deleted.\n"
            "Hint: Nothing to do: it goes on there. Its state says how."
        )
        with pytest.raises(SagaTaken):
            first.end("finished", 1.0)
        assert trip.state("a") == before
        assert second.begin("wait", 1.0, has_compensation=False).attempt == 2
        ask("DELETE FROM shoal_saga")
        with pytest.raises(SagaTaken):
            second.done("wait", "null", 1.0)


def wait(run: Run) -> None:
    raise new_saga.Retry(1000)
