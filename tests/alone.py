"""
Takes the tests that a run's workers come to, lets those marked `alone` run alone.

A test with a budget of time measures Shoal, not what another worker is busy with. It
waits until no other test runs, in no worker, and none begins until it is over.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Turnstile:
    """
    Two locks that all workers share: one is a door, one the room behind it.

    Whoever comes passes the door to enter the room. Who wants the room alone holds the
    door while others leave, so that nobody enters before it in the meantime.
    """

    def __init__(self, folder: Path) -> None:
        self._door = (folder / "door.lock").open("w")
        self._room = (folder / "room.lock").open("w")

    @contextlib.contextmanager
    def passed(self, *, alone: bool) -> Iterator[None]:
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        with _locked(self._door, how):
            fcntl.flock(self._room, how)
        try:
            yield
        finally:
            # Not left to the end of the process: a forked child may have the file too.
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        self._door.close()
        self._room.close()


@contextlib.contextmanager
def _locked(file: Any, how: int) -> Iterator[None]:
    fcntl.flock(file, how)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


class Alone:
    """A plugin of pytest for one worker."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        alone = item.get_closest_marker("alone") is not None
        with self._turnstile.passed(alone=alone):
            return (yield)
