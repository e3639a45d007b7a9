"""
Takes pieces of work, each in several ways, gives how long each way takes.

The ways take turns, round by round, each time in another order: who comes second finds
the server warm.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import ShoalError

Way = Callable[[int], Callable[[], Any]]
"""Takes the number of the round, gets ready and returns what is to be timed."""
SLOWEST = "slowest shard"
FEWEST = 3
LONGEST = 30.0
"""Seconds for one piece of work, all ways together, once each has its fewest rounds."""
MANY = 100
"""Rounds from which on the slowest hundredth means something."""


@dataclass(frozen=True, kw_only=True)
class Work:
    name: str
    ways: Mapping[str, Way]
    """Several ways to the same answer. The first is the one that is compared."""
    right: str = ""
    """The way whose answer is the right one; none if there is nothing to compare."""
    parts: Mapping[str, Way] = field(default_factory=dict)
    """What single shards do of it. The slowest of them is one more way."""
    beside: Mapping[str, Way] = field(default_factory=dict)
    """What is measured with it, and gives another kind of answer."""
    workers: int = 0
    """How many processes a server adds for one part."""
    rounds: int


@dataclass(slots=True)
class Taken:
    """What one way took, or why there is nothing."""

    seconds: list[float] = field(default_factory=list)
    refused: str = ""
    """The name of the error."""
    wrong: bool = False
    """It gave another answer than one database."""

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def p99(self) -> float | None:
        if len(self.seconds) < MANY:
            return None
        return statistics.quantiles(self.seconds, n=100)[-1]


def measure(work: Work) -> dict[str, Taken]:
    """Return what each way took, parts only as the `SLOWEST` of them."""
    ways = {**work.ways, **work.parts, **work.beside}
    taken = {name: Taken() for name in ways}
    answers = {name: _try(way, taken[name]) for name, way in ways.items()}
    for name in work.ways if work.right else ():
        found = taken[name]
        found.wrong = not found.refused and answers[name] != answers[work.right]
    del answers
    _take_turns(ways, taken, work.rounds)
    if work.parts:
        slowest = max((taken.pop(name) for name in work.parts), key=_median)
        taken[SLOWEST] = slowest
    return taken


def _median(taken: Taken) -> float:
    return taken.median or 0.0


def _try(way: Way, taken: Taken) -> Any:
    """Do it once, which also opens connections, and return the answer."""
    timed = way(0)
    try:
        return timed()
    except ShoalError as error:
        taken.refused = type(error).__name__
        return None


def _take_turns(
    ways: Mapping[str, Way], taken: Mapping[str, Taken], rounds: int
) -> None:
    able = [name for name in ways if not (taken[name].refused or taken[name].wrong)]
    gc.collect()
    draw, ends = random.Random(rounds), time.perf_counter() + LONGEST
    for n in range(rounds):
        if n >= FEWEST and time.perf_counter() > ends:
            return
        draw.shuffle(able)
        for name in able:
            timed = ways[name](n)
            began = time.perf_counter()
            timed()
            taken[name].seconds.append(time.perf_counter() - began)
