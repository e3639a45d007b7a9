"""
The states of a run and of its steps, and the moves that are allowed. Pure.

A run is `running` or `compensating` until it is over, also while no process has it:
whether one has, its lock says, and when it goes on, its due time. A step is written
down as `begun` before it runs, so what a crash left behind says what may have happened.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

RunState: TypeAlias = Literal[
    "running", "compensating", "finished", "compensated", "stuck", "settled"
]
StepState: TypeAlias = Literal[
    "begun", "done", "failed", "compensating", "compensated", "kept"
]

MOVES: Mapping[RunState, frozenset[RunState]] = {
    "running": frozenset({"running", "compensating", "finished", "stuck"}),
    "compensating": frozenset({"compensating", "compensated", "stuck"}),
    # An operator lets it go on, or says that nothing is left to do.
    "stuck": frozenset({"running", "compensating", "settled"}),
    "finished": frozenset(),
    "compensated": frozenset(),
    "settled": frozenset(),
}
STEP_MOVES: Mapping[StepState, frozenset[StepState]] = {
    "begun": frozenset({"begun", "done", "failed"}),
    "done": frozenset({"compensating", "kept"}),
    # It may have done something before it failed, so it is compensated as well.
    "failed": frozenset({"compensating", "kept"}),
    "compensating": frozenset({"compensating", "compensated"}),
    "compensated": frozenset(),
    # There is no compensation.
    "kept": frozenset(),
}
ACTIVE: tuple[RunState, ...] = ("running", "compensating")
OVER = frozenset(state for state, to in MOVES.items() if not to)


def moved(old: RunState, new: RunState) -> RunState:
    """Return `new`, if a run may go there from `old`."""
    if new not in MOVES[old]:
        raise ValueError(f"A run that is {old!r} does not become {new!r}.")
    return new


def step_moved(old: StepState, new: StepState) -> StepState:
    """Return `new`, if a step may go there from `old`."""
    if new not in STEP_MOVES[old]:
        raise ValueError(f"A step that is {old!r} does not become {new!r}.")
    return new
