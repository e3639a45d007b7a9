"""
Takes a question, gives how many milliseconds of it each stage of the sharded alias has.

By Python's own profiler in the thread that asks, so that the time in which shards
compute is that of the stage that waits for them. It adds some to what is short.
"""

import cProfile
import pstats
from collections.abc import Callable, Mapping
from typing import Any

STAGES = {
    "rows located": ("sharding/reading.py", "_where"),
    "ways proven": ("sharding/ways.py", "ways"),
    "cursors opened and shards asked": ("sharding/scattering.py", "_ask"),
    "shards asked": ("sharding/side_by_side.py", "ask"),
    "rows fetched": ("sharding/scattering.py", "_all_rows"),
    "rows put in order": ("sharding/ordering.py", "sorted_rows"),
    "answered by the home server": ("sharding/composing.py", "answer"),
    "table of parts made": ("sharding/composing.py", "whole_over"),
    "parts brought there": ("sharding/composing.py", "_fill"),
}
"""A function of each, whose time includes what it calls."""
WHOLE = "whole"
TIMES = 10


def stages(ask: Callable[[], Any], times: int = TIMES) -> Mapping[str, float]:
    """Return milliseconds by stage, on average; those that there are."""
    profile = cProfile.Profile()
    with profile:
        for _ in range(times):
            ask()
    counted: Any = pstats.Stats(profile)
    found = {WHOLE: counted.total_tt}
    for stage, (file, function) in STAGES.items():
        taken = [
            one[3]
            for (path, _, name), one in counted.stats.items()
            if path.endswith(file) and name == function
        ]
        if taken:
            found[stage] = max(taken)
    return {stage: round(seconds * 1e3 / times, 3) for stage, seconds in found.items()}


def show(found: Mapping[str, Mapping[str, float]]) -> None:
    for work, taken in found.items():
        listed = ", ".join(f"{stage} {ms:.3g}" for stage, ms in taken.items())
        print(f"{work}, profiled, in ms: {listed}.")
