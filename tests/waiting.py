"""Waits for something that others do, no longer than it takes."""

import time
from collections.abc import Callable


def until(reached: Callable[[], object], within: float = 30.0) -> float:
    """Poll until `reached`; return the seconds that it took, or fail."""
    begun = time.monotonic()
    while not reached():
        assert time.monotonic() - begun < within, f"not within {within:g} s"
        time.sleep(0.005)
    return time.monotonic() - begun


def quickest(attempt: Callable[[], float], *, enough: float, times: int = 3) -> float:
    """
    Return the seconds of the quickest attempt; make no other when it was quick enough.

    A machine that stalls makes one slow, and what is slow by itself makes all.
    """
    took = [attempt()]
    while took[-1] >= enough and len(took) < times:
        took.append(attempt())
    return min(took)
