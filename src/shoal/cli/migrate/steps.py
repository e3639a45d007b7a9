"""
Takes what each alias lacks, gives which migration runs next, and where. Pure.

Breadth first: a migration runs on every alias that lacks it before the next one runs
anywhere, so a migration of data finds the tables of the apps that it depends on, on
whichever cluster they live.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shoal.evenness import Key
from shoal.types import Alias


@dataclass(frozen=True, order=True)
class Step:
    """One migration in one direction."""

    app_label: str
    name: str
    backwards: bool = False

    def __str__(self) -> str:
        return f"{self.app_label}.{self.name}"

    @property
    def key(self) -> Key:
        return self.app_label, self.name


Ranks = Mapping[Step, int]


def ranks(forwards: Iterable[Key], backwards: Iterable[Key]) -> dict[Step, int]:
    """Order all steps there may be: what is taken back comes before what is done."""
    steps = [
        *(Step(*key, backwards=True) for key in backwards),
        *(Step(*key) for key in forwards),
    ]
    return {step: rank for rank, step in enumerate(dict.fromkeys(steps))}


def next_round(
    wanted: Mapping[Alias, Step], order: Ranks
) -> tuple[Step, tuple[Alias, ...]]:
    """
    Return the earliest step that any alias waits for, and all that wait for it.

    A step that the order does not know (an alias on the far side of a squashed
    migration) comes after those that it does.
    """
    first = min(wanted.values(), key=lambda step: (order.get(step, len(order)), step))
    return first, tuple(alias for alias, step in wanted.items() if step == first)


def rounds(
    plans: Mapping[Alias, Sequence[Step]], order: Ranks
) -> Iterator[tuple[Step, tuple[Alias, ...]]]:
    """Return every round of a run in which nothing fails."""
    left = {alias: list(plan) for alias, plan in plans.items()}
    while wanted := {alias: plan[0] for alias, plan in left.items() if plan}:
        step, aliases = next_round(wanted, order)
        for alias in aliases:
            left[alias].pop(0)
        yield step, aliases
