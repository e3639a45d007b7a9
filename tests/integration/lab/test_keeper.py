"""Nothing is left running or on disk, however the lab's process ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.lab import Lab, LabError, Postgres
from tests.integration.lab.traces import Traces, until

STARTS_A_LAB = """
import os, subprocess, sys, time
from shoal.lab import Lab, MariaDB, Postgres
try:
    with Lab({cluster}) as lab:
        {inside}
        print("up", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", os.listdir(os.environ["TMPDIR"]), flush=True)
"""
FORKS = """
        child = os.fork()
        if child == 0:
            os.closerange(0, 3)
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
"""
HAS_A_CHILD = """
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, close_fds=False)
        print(child.pid, flush=True)
"""
WITH_REPLICA = "('one', replicas=('one_r1',))"
MOMENTS = {
    "the keeper is up": "shoal-lab-*",
    "the first data directory is made": "shoal-lab-*/*/data",
    "the first server starts": "shoal-lab-*/*/data/postmaster.pid",
    "a replica is being copied": "shoal-lab-*/one_r1/data",
    "a replica starts": "shoal-lab-*/one_r1/data/postmaster.pid",
}


@contextmanager
def running(
    inside: str = "pass", cluster: str = "Postgres('one')"
) -> Iterator[subprocess.Popen[str]]:
    program = STARTS_A_LAB.format(inside=inside.strip(), cluster=cluster)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_stop_leaves_nothing(traces: Traces) -> None:
    with Lab(Postgres("one")) as lab:
        pid = lab["one"].pid
        assert len(traces.files) == 1
        assert len(traces.processes) >= 2
    traces.assert_none()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    lab.stop()
    with pytest.raises(LabError, match="The lab is not up"):
        lab["one"]


def test_a_lab_starts_again_with_new_servers(traces: Traces) -> None:
    lab = Lab(Postgres("one"))
    with lab:
        lab["one"].sql("CREATE TABLE here (a int)")
        with pytest.raises(LabError, match="The lab is up already"):
            lab.start()
    with lab:
        assert lab["one"].sql("SELECT to_regclass('here')") == [(None,)]
    traces.assert_none()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nothing(traces: Traces, number: int) -> None:
    with running() as process:
        assert line(process) == "up"
        process.send_signal(number)
        process.wait()
        traces.assert_none_soon()


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_process_killed_while_starting_leaves_nothing(
    traces: Traces, moment: str
) -> None:
    with running(cluster="Postgres" + WITH_REPLICA) as process:
        traces.await_file(moment)
        process.kill()
        process.wait()
        traces.assert_none_soon()


@pytest.mark.parametrize(
    "moment", ["shoal-lab-*/*/data", "shoal-lab-*/*/data/postmaster.pid", None]
)
def test_ctrl_c_leaves_nothing(traces: Traces, moment: str | None) -> None:
    with running() as process:
        if moment:
            traces.await_file(moment)
        else:
            assert line(process) == "up"
        # To the whole group, as a terminal does it.
        os.killpg(process.pid, signal.SIGINT)
        said = line(process)
        if moment and said == "up":  # The servers were faster than the signal.
            said = line(process)
        assert said == "interrupted []"
        process.wait()
        traces.assert_none()


@pytest.mark.parametrize("inside", [FORKS, HAS_A_CHILD], ids=["fork", "subprocess"])
def test_a_child_that_lives_on_holds_nothing_up(traces: Traces, inside: str) -> None:
    with running(inside) as process:
        child = int(line(process))
        assert line(process) == "up"
        process.kill()
        process.wait()
        traces.assert_none_soon()
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_can_ask_but_not_command(traces: Traces) -> None:
    with Lab(Postgres("one")) as lab:
        child = os.fork()
        if child == 0:
            answered = False
            try:
                answered = lab["one"].sql("SELECT 1") == [(1,)]
                lab["one"].stop()
            except LabError as error:
                os._exit(7 if answered and "not this process's" in str(error) else 8)
            finally:
                lab.stop()
                os._exit(9)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert lab["one"].sql("SELECT 1") == [(1,)]


def test_servers_die_with_their_keeper(traces: Traces) -> None:
    lab = Lab(Postgres("one"))
    with lab:
        (keeper,) = traces.keepers
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not traces.processes)
        assert traces.processes == {}
        with pytest.raises(LabError, match="keeps the lab's servers is gone"):
            lab["one"].start()
    traces.assert_none()


def test_a_new_lab_sweeps_up_after_keepers_that_were_killed(traces: Traces) -> None:
    old = traces.path / "shoal-lab-old"
    young = traces.path / "shoal-lab-young"
    strange = traces.path / "shoal-lab-strange"
    for directory in (old, young, strange):
        directory.mkdir()
    for directory in (old, young):
        (directory / "keeper.lock").touch()
    os.utime(old / "keeper.lock", (time.time() - 3600, time.time() - 3600))
    with Lab(Postgres("one")):
        until(lambda: not old.exists())
        assert not old.exists()
        assert young.exists()
        assert strange.exists()
    young.joinpath("keeper.lock").unlink()
    young.rmdir()
    strange.rmdir()


def test_shared_memory_of_a_killed_server_is_freed(traces: Traces) -> None:
    with Lab(Postgres("one")) as lab:
        server = lab["one"]
        path = server.data_directory / "postmaster.pid"
        segment = path.read_text().splitlines()[6].split()[1]
        assert segment in segments()
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.running)
    assert segment not in segments()


def segments() -> list[str]:
    """Return the ids of all segments, which other columns may have as numbers, too."""
    _, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    return [row.split()[1] for row in rows]


@pytest.mark.mariadb
def test_a_killed_process_leaves_nothing_of_mariadb(traces: Traces) -> None:
    with running(cluster="MariaDB" + WITH_REPLICA) as process:
        traces.await_file("shoal-lab-*/one_r1/mariadb.sock")
        process.kill()
        process.wait()
        traces.assert_none_soon()
