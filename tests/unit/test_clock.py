"""Who waits for a time is told when it has come, and nobody else is."""

import os
import threading
import time
from typing import Any

import pytest

from shoal.sharding.clock import Clock, ring_at
from shoal.sharding.deadlines import deadline, end_for
from shoal.topology import Cluster

SHOP = Cluster(name="shop")
SLOW = Cluster(name="shop", timeout=100.0)


class Sleeper:
    def __init__(self, told: Any = None) -> None:
        self.is_over = False
        self.rung = threading.Event()
        self._told = told

    def ring(self) -> None:
        if self._told is not None:
            self._told.append(self)
        self.rung.set()


def test_each_is_told_in_its_turn() -> None:
    clock, told, now = Clock(), list[Any](), time.monotonic()
    late, early, done = Sleeper(told), Sleeper(told), Sleeper(told)
    with clock._changed:
        # Nobody is told before all of this is done, however long that takes.
        clock.add(now + 1.0, late)
        clock.add(now + 0.05, early)
        clock.add(now + 0.1, done)
        done.is_over = True
    assert late.rung.wait(60)
    assert time.monotonic() >= now + 1.0
    assert told == [early, late]
    clock.add(now, done)
    again = Sleeper()
    clock.add(time.monotonic(), again)
    assert again.rung.wait(60)
    assert not done.rung.is_set()


def test_no_time_is_too_far() -> None:
    clock, early = Clock(), Sleeper()
    clock.add(float("inf"), Sleeper())
    clock.add(time.monotonic() + 0.05, early)
    assert early.rung.wait(60)


def test_one_that_is_deaf_keeps_nobody_waiting() -> None:
    clock, free = Clock(), threading.Event()

    class Deaf(Sleeper):
        def ring(self) -> None:
            free.wait(120)

    other = Sleeper()
    clock.add(time.monotonic(), Deaf())
    clock.add(time.monotonic(), other)
    assert other.rung.wait(60)
    free.set()


def test_a_new_process_has_a_clock_of_its_own() -> None:
    first = Sleeper()
    ring_at(time.monotonic(), first)
    assert first.rung.wait(60)
    pid = os.fork()
    if pid == 0:
        mine = Sleeper()
        ring_at(time.monotonic(), mine)
        os._exit(0 if mine.rung.wait(60) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def left(cluster: Cluster) -> float | None:
    end = end_for(cluster)
    return None if end is None else end.at - time.monotonic()


def test_the_earliest_of_blocks_counts() -> None:
    assert left(SHOP) is None
    assert left(SLOW) == pytest.approx(100, abs=8)
    with deadline(50):
        assert left(SHOP) == pytest.approx(50, abs=8)
        assert left(SLOW) == pytest.approx(50, abs=8)
        with deadline(80):
            assert left(SHOP) == pytest.approx(50, abs=8)
        with deadline(10):
            assert left(SHOP) == pytest.approx(10, abs=8)
        with deadline(None):
            assert left(SHOP) is None
            assert left(SLOW) is None
    with deadline(200):
        assert left(SLOW) == pytest.approx(200, abs=8)


def test_each_call_of_a_function_has_its_time() -> None:
    @deadline(50)
    def end() -> float:
        found = end_for(SHOP)
        assert found is not None
        return found.at

    was = end()
    time.sleep(0.01)
    assert end() >= was + 0.01


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_no_time_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="it takes seconds above 0"):
        deadline(wrong)
