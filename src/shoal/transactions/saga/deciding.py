"""
Takes what is defined and what is recorded, gives what is to be done next. Pure.

What is recorded has to be the beginning of what is defined: the same steps in the same
order. Otherwise nobody knows what to do or undo, and the run is stuck.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shoal.transactions.saga.states import RunState, StepState

LONGEST_BACKOFF = 3600.0
"""Seconds. It doubles up to here."""
MOST_CRASHES = 10
"""A step that so often ended with its process is likely to be what ends it."""


@dataclass(frozen=True, kw_only=True)
class Defined:
    """A step as the code has it."""

    name: str
    has_compensation: bool = False


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A step as its row has it."""

    position: int
    name: str
    state: StepState
    attempt: int = 0
    """How often it was begun, or its compensation."""
    ended: int = 0
    """How many of these attempts ended with an answer, whatever it was."""
    failures: int = 0
    has_compensation: bool = False
    result: str = ""
    """JSON, once it is done."""
    error: str = ""

    @property
    def crashes(self) -> int:
        """How often the process ended first, if none has it now."""
        return self.attempt - self.ended


@dataclass(frozen=True, kw_only=True)
class Action:
    kind: Literal["do", "undo", "keep", "finish", "end", "get_stuck"]
    step: str = ""
    fact: str = ""
    """Why it is stuck."""


def next_action(
    state: RunState, recorded: Sequence[Recorded], defined: Sequence[Defined]
) -> Action:
    """Return what a run of this state does next."""
    fact = difference(recorded, defined)
    if fact:
        return Action(kind="get_stuck", fact=fact)
    is_forward = state == "running"
    action = (_forward if is_forward else _back)(recorded, defined)
    for step in recorded:
        if step.name == action.step and step.crashes >= MOST_CRASHES:
            return Action(kind="get_stuck", fact=_crashed(step))
    return action


def _forward(recorded: Sequence[Recorded], defined: Sequence[Defined]) -> Action:
    for step in recorded:
        if step.state == "begun":
            return Action(kind="do", step=step.name)
    if len(recorded) < len(defined):
        return Action(kind="do", step=defined[len(recorded)].name)
    return Action(kind="finish")


def _back(recorded: Sequence[Recorded], defined: Sequence[Defined]) -> Action:
    for step, now in reversed([*zip(recorded, defined, strict=False)]):
        if step.state not in ("compensated", "kept"):
            # One that came with a later deploy was added to be used.
            kind: Literal["undo", "keep"] = "undo" if now.has_compensation else "keep"
            return Action(kind=kind, step=step.name)
    return Action(kind="end")


def _crashed(step: Recorded) -> str:
    what = "compensation" if step.state == "compensating" else "step"
    return (
        f"The {what} {step.name!r} was begun {step.crashes} times without an end: its "
        "process was killed each time. Look why, then retry it."
    )


def difference(recorded: Sequence[Recorded], defined: Sequence[Defined]) -> str:
    """Return how the definition has left what a run recorded; `""` if it has not."""
    way_out = "Deploy a definition that has what this run began with, then retry it."
    for step, now in zip(recorded, defined, strict=False):
        if step.name != now.name:
            return (
                f"Step {step.position + 1} of this run is {step.name!r}, and of the "
                f"definition {now.name!r}. {way_out}"
            )
        if step.has_compensation and not now.has_compensation:
            return f"The step {step.name!r} has lost its compensation. {way_out}"
    for step in recorded[len(defined) :]:
        return f"The definition has no step {step.name!r} any more. {way_out}"
    return ""


def delay(failures: int, backoff: float, chance: float) -> float:
    """
    Return the seconds to wait after so many failures.

    `backoff` after the first, then always double, up to an hour; and by chance (0 to 1)
    up to half of it more, so that what failed together is not repeated together.
    """
    # An exponent that no float can follow.
    doubled = backoff * 2.0 ** min(failures - 1, 100)
    return min(doubled, max(LONGEST_BACKOFF, backoff)) * (1 + chance / 2)
