"""`python -m shoal.lab` starts, lists and stops labs that outlive their starter."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests import waiting
from tests.integration.lab.traces import Traces, until

PROGRAM = [sys.executable, "-m", "shoal.lab"]


def shoal_lab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "120"},
    )


def read_json(process: subprocess.Popen[str]) -> None:
    """Read what `up --json` prints when all servers are up."""
    assert process.stdout
    for line in process.stdout:
        if line == "}\n":
            return
    pytest.fail("the lab did not come up")


@pytest.fixture
def standing(traces: Traces) -> Iterator[Traces]:
    """Take down what a failing test leaves up."""
    yield traces
    for path in traces.path.glob("shoal-labs-*/*.json"):
        shoal_lab("down", "--name", path.stem)


def test_a_lab_goes_up_is_listed_and_goes_down(standing: Traces) -> None:
    up = shoal_lab("up", "films=films_r1")
    assert (up.returncode, up.stderr) == (0, "")
    assert "2 servers up in " in up.stdout
    assert "replica of films" in up.stdout
    assert "psql -h " in up.stdout

    again = shoal_lab("up", "films")
    assert again.returncode == 1
    assert again.stderr == (
        "A lab named 'lab' is up already.\n"
        "Hint: Take it down, or give this one another name with --name.\n"
    )

    status = shoal_lab("status", "--json")
    assert status.returncode == 0
    lab = json.loads(status.stdout)["lab"]
    films, replica = lab["servers"]
    assert [films["role"], replica["role"]] == ["primary", "replica"]
    assert films["running"]
    # The primary also writes by itself, and the replica is told a moment later.
    waiting.until(at_one_position)
    assert lab["databases"]["films_r1"]["PORT"] == str(replica["port"])
    assert lab["databases"]["films"]["PASSWORD"] not in up.stdout
    assert shoal_lab("status").stdout.count("up") == 2

    down = shoal_lab("down")
    assert (down.returncode, down.stdout) == (
        0,
        "Stopped and removed lab: films, films_r1.\n",
    )
    standing.assert_none()
    assert shoal_lab("status").stdout == "No lab is up.\n"
    assert shoal_lab("down").returncode == 1


def at_one_position() -> bool:
    """Say whether all servers of the lab are equally far."""
    lab = json.loads(shoal_lab("status", "--json").stdout)["lab"]
    found = {server["position"] for server in lab["servers"]}
    return len(found) == 1 and all(found)


def test_json_is_what_settings_need(standing: Traces) -> None:
    ran = shoal_lab("up", "one", "--json", "--name", "other")
    databases = json.loads(ran.stdout)
    entry = databases["one"]
    with psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        user=entry["USER"],
        password=entry["PASSWORD"],
        dbname=entry["NAME"],
    ) as connection:
        assert connection.execute("SHOW cluster_name").fetchone() == ("one",)
    (file,) = standing.path.glob("shoal-labs-*/*")
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    missing = shoal_lab("down")
    assert missing.returncode == 1
    assert "No lab named 'lab' is up." in missing.stderr
    assert "Labs that are up: other" in missing.stderr
    down = json.loads(shoal_lab("down", "--name", "other", "--json").stdout)
    assert down == {"lab": "other", "stopped": ["one"]}
    standing.assert_none()


def test_a_directory_of_somebody_else_is_refused(standing: Traces) -> None:
    directory = standing.path / f"shoal-labs-{os.geteuid()}"
    directory.mkdir(mode=0o755)
    refused = shoal_lab("status")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"{str(directory)!r} is not a directory of yours alone.\n"
        "Hint: Remove it, or set TMPDIR to a directory of your own.\n"
    )
    directory.rmdir()


def test_a_dead_server_is_shown(standing: Traces) -> None:
    shoal_lab("up", "one", "two")
    servers = json.loads(shoal_lab("status", "--json").stdout)["lab"]["servers"]
    os.kill(servers[1]["pid"], signal.SIGQUIT)
    until(lambda: shoal_lab("status").returncode == 1)
    shown = json.loads(shoal_lab("status", "--json", "--name", "lab").stdout)
    assert [s["running"] for s in shown["lab"]["servers"]] == [True, False]
    assert shoal_lab("down").returncode == 0
    standing.assert_none()


def test_a_killed_keeper_leaves_what_down_can_clear(standing: Traces) -> None:
    shoal_lab("up", "one")
    os.kill(json.loads(shoal_lab("status", "--json").stdout)["lab"]["keeper"], 9)
    until(lambda: not standing.processes)
    assert standing.processes == {}
    assert shoal_lab("up", "one").returncode == 0
    os.kill(json.loads(shoal_lab("status", "--json").stdout)["lab"]["keeper"], 9)
    until(lambda: not standing.processes)
    assert shoal_lab("down").returncode == 0
    until(lambda: [f for f in standing.files if f.startswith("shoal-labs")] == [])
    assert not list(standing.path.glob("shoal-labs-*"))
    for directory in standing.path.glob("shoal-lab-*"):
        # The first keeper's: a new lab sweeps it up once it is a minute old.
        subprocess.run(["rm", "-r", str(directory)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_wait_stays_and_takes_everything_down(standing: Traces, number: int) -> None:
    with subprocess.Popen(
        [*PROGRAM, "up", "one", "--wait", "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        read_json(process)
        assert shoal_lab("status").returncode == 0
        process.send_signal(number)
        assert process.wait(120) == 0
    standing.assert_none()


def test_down_ends_a_lab_that_somebody_waits_for(standing: Traces) -> None:
    with subprocess.Popen(
        [*PROGRAM, "up", "one", "--wait", "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        read_json(process)
        assert shoal_lab("down").returncode == 0
        assert process.wait(120) == 0
    standing.assert_none()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["shoal-labs-*/lab.json", "shoal-lab-*/one/data"])
def test_an_interrupted_start_leaves_nothing(
    standing: Traces, moment: str, number: int
) -> None:
    status, said = interrupted(standing, moment, number)
    while status == 0:  # The server was faster than the signal.
        assert shoal_lab("down").returncode == 0
        status, said = interrupted(standing, moment, number)
    if number == signal.SIGINT:
        assert status == 1
        assert "Interrupted. Nothing was left running." in said
    standing.assert_none_soon()


def interrupted(standing: Traces, moment: str, number: int) -> tuple[int, str]:
    """Start a lab and interrupt that; return the exit status, and what it said."""
    with subprocess.Popen(
        [*PROGRAM, "up", "one"], stderr=subprocess.PIPE, text=True
    ) as process:
        standing.await_file(moment)
        process.send_signal(number)
        _, said = process.communicate()
    return process.returncode, said


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "up|status|down"),
        (["up", "Films"], 2, "can't be the name of a server"),
        (["up", "one", "two=one"], 2, "Two servers of the lab are named 'one'"),
        (["up", "oracle:one"], 2, "unknown kind 'oracle'"),
        (["up", "--name", "../lab"], 2, "is not a name of lower-case letters"),
        (["up", "one", "--pg-bin", "/nowhere"], 1, "has no PostgreSQL server programs"),
        (["status", "--name", "other"], 1, "No lab named 'other' is up"),
    ],
)
def test_what_is_wrong_is_said(
    standing: Traces, words: list[str], status: int, said: str
) -> None:
    ran = shoal_lab(*words)
    assert ran.returncode == status
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    standing.assert_none()


def test_a_temporary_directory_that_nobody_may_write_is_an_error(
    standing: Traces,
) -> None:
    script = (
        "import tempfile; tempfile.tempdir = '/proc'; "
        "from shoal.lab.__main__ import main; raise SystemExit(main(['up', 'one']))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "Hint: It works in /proc; TMPDIR changes that." in ran.stderr
