"""A process is killed at every point of a run; another finishes what it began."""

import itertools
import signal
from collections.abc import Callable
from typing import Any

import pytest

from shoal.transactions.saga import Standing, resume
from tests.integration.sagas.conftest import Processes, ask
from tests.integration.sagas.shop import sagas

pytestmark = pytest.mark.crash

STEPS = ["hotel", "note", "charge", "ticket"]
UNDONE = ["no_ticket", "refund", "no_hotel"]
MOST = 60


def killed_everywhere(
    processes: Processes, check: Callable[[Standing], None], **run: Any
) -> int:
    """Kill a run at each event, resume, check; return how many events there are."""
    for at in itertools.count(1):
        assert at < MOST
        processes.effects.unlink(missing_ok=True)
        saga, key = getattr(sagas, run.get("saga", "booking")), f"order-{at}"
        status = processes.wait(processes.start(key, at=at, **run))
        if status == 0:
            check(saga.state(key))
            return at - 1
        assert status == -signal.SIGKILL
        before = saga.state(key)
        report = resume()
        ended = [standing.name for standing in report.finished + report.compensated]
        # The last event comes when all is recorded.
        assert ended == ([] if before.is_over else [f"{saga.name}/{key}"])
        assert report.is_clean
        assert report.waiting == report.running == ()
        check(saga.state(key))
    raise AssertionError


def in_order(lines: list[list[str]], names: list[str]) -> bool:
    """Say whether each was done, in this order, and one of them twice at most."""
    done = [name for name, _, _ in lines]
    repeated = len(done) - len(names)
    return repeated in (0, 1) and [name for name, _ in itertools.groupby(done)] == names


def keys_and_attempts_are_right(key: str, lines: list[list[str]]) -> bool:
    """Say whether attempts of a step share a key that no other step has."""
    undo = {"no_hotel": "hotel", "refund": "charge", "no_ticket": "ticket"}
    for name, idempotency_key, _ in lines:
        end = f"{undo[name]}/compensate" if name in undo else name
        assert idempotency_key == f"booking/{key}/{end}"
    seen: dict[str, int] = {}
    for name, _, attempt in lines:
        assert int(attempt) > seen.get(name, 0)
        seen[name] = int(attempt)
    return True


def test_forward(processes: Processes) -> None:
    def check(standing: Standing) -> None:
        assert standing.state == "finished"
        assert {step.state for step in standing.steps} == {"done"}
        assert standing.results == {
            "hotel": {"room": 7},
            "note": None,
            "charge": "paid",
            "ticket": None,
        }
        assert in_order(processes.lines(), STEPS)
        assert keys_and_attempts_are_right(standing.key, processes.lines())

    # Begun, before and after the effect, returned and done for each; begin and end.
    assert killed_everywhere(processes, check) == 5 * len(STEPS) + 2


def test_back(processes: Processes) -> None:
    """The last step fails after it has done something."""

    def check(standing: Standing) -> None:
        assert standing.state == "compensated"
        assert standing.error == "Fail: as the test wants it"
        states = [step.state for step in standing.steps]
        assert states == ["compensated", "kept", "compensated", "compensated"]
        assert in_order(processes.lines(), STEPS + UNDONE)
        assert keys_and_attempts_are_right(standing.key, processes.lines())

    count = killed_everywhere(processes, check, fails="ticket")
    assert count == 5 * len(STEPS) - 1 + 5 * len(UNDONE) + 2


def test_exactly_once(processes: Processes) -> None:
    """What a step writes on a cluster is there once, wherever the process dies."""

    def check(standing: Standing) -> None:
        assert standing.state == "finished"
        assert dict(standing.results) == {"one": 1, "two": 2, "three": None}
        expected = int(standing.key.removeprefix("order-"))
        assert ask("SELECT number FROM counted", alias="goods") == [(1,)] * 2 * expected
        assert ask("SELECT number FROM counted") == [(2,)] * expected

    killed_everywhere(processes, check, saga="counting")


def test_undone_exactly_once(processes: Processes) -> None:
    def check(standing: Standing) -> None:
        assert standing.state == "compensated"
        done = int(standing.key.removeprefix("order-"))
        expected = [(-1,)] * 2 * done + [(1,)] * 2 * done
        found = ask("SELECT number FROM counted", alias="goods")
        assert sorted(found) == expected
        assert sum(number for (number,) in ask("SELECT number FROM counted")) == 0

    killed_everywhere(processes, check, saga="counting", fails="three")


@pytest.mark.parametrize("crashes", [3])
def test_a_process_that_resumes_is_killed_too(
    processes: Processes, crashes: int
) -> None:
    assert processes.wait(processes.start("order", at=4)) == -signal.SIGKILL
    for _ in range(crashes):
        # It has just done the step once more.
        assert processes.wait(processes.resume(at=3)) == -signal.SIGKILL
    assert processes.wait(processes.resume()) == 0
    standing = sagas.booking.state("order")
    assert standing is not None
    assert standing.state == "finished"
    assert [step.attempt for step in standing.steps] == [5, 1, 1, 1]
    hotel = [line for line in processes.lines() if line[0] == "hotel"]
    expected = [["hotel", "booking/order/hotel", str(n)] for n in (1, 2, 3, 4, 5)]
    assert hotel == expected


def test_a_step_that_kills_its_process_again_and_again(processes: Processes) -> None:
    assert processes.wait(processes.start("order", at=2)) == -signal.SIGKILL
    for _ in range(9):
        assert processes.wait(processes.resume(at=1)) == -signal.SIGKILL
    assert processes.wait(processes.resume()) == 0
    standing = sagas.booking.state("order")
    assert standing is not None
    assert standing.state == "stuck"
    assert standing.error == (
        "The step 'hotel' was begun 10 times without an end: its process was killed "
        "each time. Look why, then retry it."
    )
    assert processes.lines() == []
