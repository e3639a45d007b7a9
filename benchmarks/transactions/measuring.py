"""
Takes ways to write, gives how long each takes: the whole unit, and its end alone.

They take turns, round by round, each time in another order, so that what slows the
machine down slows all of them down.
"""

import gc
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.sharding.measuring import Taken
from benchmarks.transactions.units import Way

WARM = 20
"""Rounds before it counts."""


@dataclass(frozen=True)
class Unit:
    """What a way took."""

    whole: Taken = field(default_factory=Taken)
    end: Taken = field(default_factory=Taken)
    """From the last write to the end of the block."""


def measure(ways: Mapping[str, Way], rounds: int) -> dict[str, Unit]:
    found = {name: Unit() for name in ways}
    order, draw = list(ways), random.Random(rounds)
    for n in range(-WARM, rounds):
        if n == 0:
            gc.collect()
        draw.shuffle(order)
        for name in order:
            whole, end = _once(ways[name])
            if n >= 0:
                found[name].whole.seconds.append(whole)
                found[name].end.seconds.append(end)
    return found


def _once(way: Way) -> tuple[float, float]:
    began = time.perf_counter()
    with way.block():
        way.write()
        wrote = time.perf_counter()
    ended = time.perf_counter()
    return ended - began, ended - wrote
