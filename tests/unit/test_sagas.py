"""What a saga decides, and how it is defined. No server is asked."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.errors import DeclarationError
from shoal.transactions import saga
from shoal.transactions.saga import Fail, Retry, defining, states
from shoal.transactions.saga.deciding import (
    Action,
    Defined,
    Recorded,
    delay,
    difference,
    next_action,
)
from shoal.transactions.saga.jsons import shortened
from shoal.transactions.saga.states import moved, step_moved


@pytest.fixture(autouse=True)
def only_ours() -> Iterator[None]:
    before = dict(defining._registry)
    yield
    defining._registry.clear()
    defining._registry.update(before)


def nothing(run: Any) -> None:
    """A step that does nothing."""


def steps(*described: str) -> list[Recorded]:
    """Return steps from `name state`, with a `+` for those with a compensation."""
    return [
        Recorded(
            position=position,
            name=words.split()[0].strip("+"),
            state=words.split()[1],  # type: ignore[arg-type]
            attempt=1,
            ended=1,
            has_compensation="+" in words,
        )
        for position, words in enumerate(described)
    ]


def defined(*names: str) -> list[Defined]:
    return [Defined(name=n.strip("+"), has_compensation="+" in n) for n in names]


ABC = defined("a+", "b", "c+")


@pytest.mark.parametrize(
    ("state", "recorded", "expected"),
    [
        ("running", [], "do a"),
        ("running", ["a+ begun"], "do a"),
        ("running", ["a+ done"], "do b"),
        ("running", ["a+ done", "b done", "c+ begun"], "do c"),
        ("running", ["a+ done", "b done", "c+ done"], "finish "),
        ("compensating", ["a+ done", "b done", "c+ failed"], "undo c"),
        ("compensating", ["a+ done", "b done", "c+ compensating"], "undo c"),
        ("compensating", ["a+ done", "b done", "c+ compensated"], "keep b"),
        ("compensating", ["a+ done", "b kept", "c+ compensated"], "undo a"),
        ("compensating", ["a+ compensated", "b kept"], "end "),
    ],
)
def test_what_is_next(state: Any, recorded: list[str], expected: str) -> None:
    action = next_action(state, steps(*recorded), ABC)
    assert f"{action.kind} {action.step}" == expected


def test_a_compensation_that_came_with_a_later_deploy_is_used() -> None:
    action = next_action("compensating", steps("a failed"), ABC)
    assert action == Action(kind="undo", step="a")


def test_what_has_changed() -> None:
    assert difference([], ABC) == ""
    assert difference(steps("a+ done", "b done"), ABC) == ""
    assert difference(steps("a+ done", "c+ done"), ABC).startswith("Step 2 of this run")
    assert "no step 'd'" in difference(
        steps("a+ done", "b done", "c+ done", "d done"), ABC
    )
    assert "lost its compensation" in difference(steps("a done", "b+ done"), ABC)


def test_delays_double_up_to_an_hour() -> None:
    assert [delay(n, 1.0, 0) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert delay(1, 2.0, 1) == 3
    assert delay(12, 1.0, 0) == 2048
    assert delay(13, 1.0, 0) == delay(10**9, 1.0, 0) == 3600
    assert delay(5, 7200.0, 0) == 7200
    assert delay(3, 0.0, 1) == 0


def test_moves_lead_to_an_end() -> None:
    """From every state an end can be reached, and none is left again."""
    moves: Any
    for moves, ends in (
        (states.MOVES, {"finished", "compensated", "settled"}),
        (states.STEP_MOVES, {"compensated", "kept"}),
    ):
        assert {state for state, to in moves.items() if not to} == ends
        for state in moves:
            reached = {state}
            for _ in moves:
                reached |= set(itertools.chain(*(moves[one] for one in reached)))
            assert reached & ends


def test_a_move_that_is_not_allowed() -> None:
    with pytest.raises(ValueError, match="'finished' does not become 'running'"):
        moved("finished", "running")
    with pytest.raises(ValueError, match="'kept' does not become 'begun'"):
        step_moved("kept", "begun")


def test_names() -> None:
    trip = saga("trip")
    trip.step(nothing)
    with pytest.raises(DeclarationError) as caught:
        trip.step(nothing)
    assert str(caught.value) == (
        "The saga 'trip' has two steps that are named 'nothing'.\n"
        'Hint: Give one of them another: @saga.step(name="...").'
    )
    for name in ("", "a/b", "x" * 101, "a b"):
        with pytest.raises(DeclarationError, match="A saga cannot be named"):
            saga(name)
        with pytest.raises(DeclarationError, match="cannot be named"):
            trip.step(name=name or " ")(nothing)
    with pytest.raises(DeclarationError, match=r"retries=-1 and backoff=1\.0"):
        trip.step(retries=-1)
    step = trip.steps["nothing"]
    step.compensate(nothing)
    with pytest.raises(DeclarationError, match="'trip' has two compensations"):
        step.compensate(retries=2)(nothing)


def test_a_name_is_of_one_saga_and_a_module_may_be_loaded_again() -> None:
    for _ in range(2):
        trip = saga("trip")
    with pytest.raises(DeclarationError) as caught:
        saga("trip")
    assert str(caught.value) == (
        f"Two sagas are named 'trip': one in {trip.place}, one in {__name__}, line "
        f"{trip.line + 2}.\n"
        "Hint: The name is recorded with each run: give each saga its own."
    )


def test_a_step_is_still_a_function() -> None:
    trip = saga("trip")

    @trip.step
    def one(run: Any) -> int:
        return int(run) + 1

    @trip.step(retries=7, backoff=2)
    def two(run: Any) -> int:
        return int(run) + 2

    assert (one(1), two(1)) == (2, 3)
    assert (one.attempts.retries, two.attempts.retries) == (3, 7)
    assert repr(trip) == "<Saga 'trip': one, two>"
    assert (trip.Fail, trip.Retry) == (Fail, Retry)


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_errors_are_shortened() -> None:
    assert shortened(ValueError()) == "ValueError"
    assert shortened(ValueError("a\n b\0\ud800")) == r"ValueError: a b\ud800"
    assert shortened(ValueError("\0é\N{SNOWMAN}")) == r"ValueError: \xe9\u2603"
    assert len(shortened(ValueError("x" * 9999))) == 300
    assert shortened(Mute()) == "Mute"
    assert Retry(-5).after == 0
    assert str(Retry(90)) == "asks again in 90 s"


MODELS = """
from django.db import models
from shoal.transactions import saga
from shoal.transactions.saga import Fail, Retry, Run, Standing
booking = saga("booking")
@booking.step(retries=5)
def charge(run): ...
@charge.compensate
def refund(run): ...
class Booking(models.Model):
    pass
"""
SETTING_UP = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["early", "shoal"])
django.setup()
from early.models import booking
print(booking)
"""


def test_is_defined_in_models_before_those_of_shoal(tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "early/__init__.py").touch()
    (tmp_path / "early/models.py").write_text(MODELS)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETTING_UP],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("<Saga 'booking': charge>\n", "")
