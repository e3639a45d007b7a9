"""
Takes the tests in their order, gives each worker of a run a stretch of neighbours.

What tests share is expensive: servers, and projects on them. Tests of one directory
share the most, so they stand side by side, and a worker goes on where it is. Whoever
comes to the end of a stretch takes the second half of the longest one that is left.
"""

from itertools import count, groupby, islice
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

UNIT = 4
"""Tests that a worker gets at once. After a failure under `-x` it still runs them."""


def side_by_side(items: list[pytest.Item]) -> None:
    """Bring directories together, in the order in which each of them comes first."""
    place: dict[Path, int] = {}
    for item in items:
        place.setdefault(item.path.parent, len(place))
    items.sort(key=lambda item: place[item.path.parent])


def units(tests: list[str]) -> dict[str, int]:
    """Number the units of tests: a few that follow one another in a module."""
    number = count()
    found = {}
    for _, module in groupby(tests, key=lambda test: test.partition("::")[0]):
        while unit := list(islice(module, UNIT)):
            found |= dict.fromkeys(unit, next(number))
    return found


def next_unit(left: list[int], mine: int | None, reached: set[int]) -> int:
    """
    Choose a worker's next unit out of those that are `left`, in order.

    `mine` is the unit that the worker had last; `reached` are those of all workers.
    """
    if mine is not None and mine + 1 in left:
        return mine + 1
    longest = max(stretches(left), key=len)
    if longest[0] - 1 in reached:
        # Somebody is on the way to its beginning.
        return longest[len(longest) // 2]
    return longest[0]


def stretches(left: list[int]) -> list[list[int]]:
    """Return the longest runs of numbers without a gap."""
    runs = groupby(enumerate(left), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in run] for _, run in runs]


class Stretches(LoadScopeScheduling):
    """The way of xdist to deal out units; what they are and who gets them is new."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        # xdist would sort the units by their size.
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._units: dict[str, int] = {}
        self._last: dict[WorkerController, int] = {}

    def schedule(self) -> None:
        if self.collection is None:
            self._units = units(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return str(self._units[nodeid])

    def _assign_work_unit(self, node: WorkerController) -> None:
        left = sorted(map(int, self.workqueue))
        at_work = {self._last[one] for one in self.nodes if one in self._last}
        unit = next_unit(left, self._last.get(node), at_work)
        self._last[node] = unit
        self.workqueue.move_to_end(str(unit), last=False)
        super()._assign_work_unit(node)
