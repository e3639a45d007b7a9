"""Which tests the workers of a run get, and which of them run at one time."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.alone import Turnstile
from tests.workers import next_unit, units

ROOT = Path(__file__).parents[2]


def test_a_unit_is_a_few_neighbours_of_one_module() -> None:
    one = [f"a/test_one.py::test_{n}" for n in range(5)]
    tests = [*one, "a/test_two.py::test_0", "b/test_one.py::test_0[a/b::c]"]
    assert list(units(tests).values()) == [0, 0, 0, 0, 1, 2, 3]


def test_a_worker_goes_on_where_it_is() -> None:
    assert next_unit([4, 5, 6, 7, 8, 9], mine=3, reached={3}) == 4
    assert next_unit([1, 4, 5, 6], mine=0, reached={0, 3}) == 1


def test_the_first_workers_get_the_beginning_the_middle_and_a_quarter() -> None:
    left = list(range(12))
    given: list[int] = []
    for _ in range(3):
        given.append(next_unit(left, mine=None, reached=set(given)))
        left.remove(given[-1])
    assert given in ([0, 6, 3], [0, 6, 9])


def test_who_is_through_takes_the_second_half_of_the_longest_stretch() -> None:
    assert next_unit([2, 3, 8, 9, 10, 11], mine=5, reached={1, 5, 7}) == 10
    assert next_unit([11], mine=5, reached={5, 10}) == 11


def test_a_stretch_that_nobody_comes_to_is_begun_at_its_beginning() -> None:
    assert next_unit([2, 3, 4], mine=7, reached={7}) == 2


@pytest.fixture
def turnstiles(tmp_path: Path) -> Iterator[list[Turnstile]]:
    found = [Turnstile(tmp_path) for _ in range(3)]
    yield found
    for one in found:
        one.close()


def test_many_pass_at_one_time(turnstiles: list[Turnstile]) -> None:
    with ExitStack() as inside:
        for one in turnstiles:
            inside.enter_context(one.passed(alone=False))


def test_who_wants_to_be_alone_waits_and_is_not_overtaken(
    turnstiles: list[Turnstile], tmp_path: Path
) -> None:
    entered = threading.Event()

    def enter() -> None:
        with turnstiles[1].passed(alone=True):
            entered.set()

    thread = threading.Thread(target=enter)
    with turnstiles[0].passed(alone=False):
        thread.start()
        until_nobody_passes(tmp_path / "door.lock")
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()
    with turnstiles[2].passed(alone=False):
        pass


def until_nobody_passes(door: Path) -> None:
    until = time.monotonic() + 60
    with door.open() as file:
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(0.001)
    raise AssertionError("Nobody waits at the door.")


CONFTEST = "from tests.conftest import *"
MODULE = """
import time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(request, number):
    mine = Path(f"{request.node.name}.running")
    mine.touch()
    time.sleep(0.1)
    running = [path.name for path in Path().glob("*.running")]
    mine.unlink()
    assert running == [mine.name] or not ALONE
"""


def test_a_run_of_two_workers(tmp_path: Path) -> None:
    """Without the mark, three of the four or all meet a test of the other worker."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    mark = "pytestmark = pytest.mark.alone"
    (tmp_path / "test_a.py").write_text(f"{MODULE}\nALONE = True\n{mark}")
    (tmp_path / "test_b.py").write_text(f"{MODULE}\nALONE = False")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n2", "-p", "no:django"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "8 passed" in ran.stdout, ran.stdout + ran.stderr
