"""`manage.py shoal top` on real servers, well and unwell."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import Lab, Postgres
from tests.integration.cli.conftest import (
    PROJECT,
    TIMEOUT,
    Done,
    Project,
    servers_of,
    states_of,
)
from tests.waiting import quickest, until

KEYS = [
    "alias",
    "listed_as",
    "server",
    "state",
    "since",
    "error",
    "position",
    "lag_seconds",
    "lag_bytes",
    "lag_transactions",
    "latency_seconds",
    "rows_per_second",
    "share_of_reads",
]
LOOK = ["top", "--json", "--every", "0.3"]


@pytest.fixture(scope="module")
def spare() -> Iterator[Lab]:
    """Servers that a test may kill; one replica is promoted in the end."""
    with Lab(Postgres("spare", replicas=("spare_r1", "spare_r2"))) as servers:
        yield servers


@pytest.fixture
def fragile(project: Project, spare: Lab) -> Project:
    """The project with the cluster `library` on servers that may be killed."""
    for alias, name in (
        ("library", "spare"),
        ("library_r1", "spare_r1"),
        ("library_r2", "spare_r2"),
    ):
        project.databases[alias] = {
            **spare[name].alias,
            "OPTIONS": {"connect_timeout": 2},
        }
    project.shoal["CLUSTERS"]["library"]["REPLICAS"] = ["library_r1", "library_r2"]
    return project


@contextlib.contextmanager
def readers(project: Project, alias: str) -> Iterator[None]:
    """Let somebody else read rows of this server for the length of a block."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            project.ask(alias, "SELECT count(*) FROM library_book")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def are_well(top: Done, table: Done) -> bool:
    """Say whether all were met in time, with nothing written in between, and read."""
    servers = servers_of(top.data)
    primary, replica = servers["library"], servers["library_r1"]
    return (
        set(states_of(top).values()) == {"up"}
        and replica["position"] == primary["position"]
        and replica["lag_bytes"] is not None
        and (replica["rows_per_second"] or 0) > 1000
        and table.stdout.split().count("up") == len(servers)
    )


def test_shows_who_reads_where(project: Project) -> None:
    project.ask("library", "CREATE TABLE library_book (id int)")
    project.ask("library", "INSERT INTO library_book SELECT generate_series(1, 5000)")
    project.servers["north_r1"].wait_until_replayed()
    with readers(project, "library_r1"):
        done, table = project.each_until(
            are_well, ["top", "--json", "--every", "1.2"], ["top", "--every", "0.3"]
        )
    data = done.data
    assert data["ok"]
    assert [cluster["name"] for cluster in data["clusters"]] == [
        "accounts",
        "library",
        "press",
    ]
    servers = servers_of(data)
    assert {tuple(server) for server in servers.values()} == {tuple(KEYS)}
    primary, replica = servers["library"], servers["library_r1"]
    assert (primary["listed_as"], primary["server"]) == ("primary", "north")
    assert (replica["listed_as"], replica["server"]) == ("replica", "north_r1")
    assert primary["lag_seconds"] is None
    assert (replica["lag_seconds"], replica["lag_bytes"]) == (0.0, 0)
    assert replica["share_of_reads"] > 0.9
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", replica["since"])
    lines = [line.split() for line in table.stdout.splitlines()]
    assert ["library_r1", "replica", "north_r1", "up"] in [x[:4] for x in lines]
    assert ["press_draft", "primary", "(draft)", "west", "up"] in [x[:5] for x in lines]


def are_met(top: Done, *others: Done) -> bool:
    states, replica = states_of(top), servers_of(top.data)["library_r1"]
    met = states["library"] == states["library_r1"] == "up"
    return met and replica["lag_bytes"] is not None


def is_level(status: Done) -> bool:
    return servers_of(status.data)["library_r1"]["lag_bytes"] == 0


def test_a_paused_replica_is_behind_in_seconds_and_bytes(project: Project) -> None:
    with project.servers["north_r1"].replay_paused():
        project.ask("library", "CREATE TABLE written AS SELECT generate_series(1, 999)")
        until(project.has_received)
        top, status, text = project.each_until(
            are_met, LOOK, ["status", "--json"], ["status"]
        )
    for found in (servers_of(top.data), servers_of(status.data)):
        primary, replica = found["library"], found["library_r1"]
        assert replica["lag_seconds"] > 0
        assert replica["lag_bytes"] > 10_000
        assert replica["lag_transactions"] is None
        assert primary["lag_bytes"] is None
        assert replica["position"] != primary["position"]
    assert servers_of(top.data)["library_r1"]["state"] == "up"
    (line,) = [x for x in text.stdout.splitlines() if "library_r1" in x]
    assert re.search(r" \d+\.\d s +\d+\.\d KiB ", line), line
    project.servers["north_r1"].wait_until_replayed()
    # The primary writes by itself, too, and may do so between two answers.
    project.each_until(is_level, ["status", "--json"])


def are_lost(top: Done, *others: Done) -> bool:
    states = states_of(top)
    return (
        states["library"] == "up"
        and states["library_r1"] == "down"
        and states["library_r2"] != "unknown"
    )


def are_swapped(top: Done, *others: Done) -> bool:
    states = states_of(top)
    return [states[alias] for alias in ("library", "library_r1", "library_r2")] == [
        "demoted",
        "promoted",
        "promoted",
    ]


def test_dead_hung_and_promoted_servers(fragile: Project, spare: Lab) -> None:
    found: list[Done] = []
    spare["spare_r1"].stop()
    with frozen(spare["spare_r2"].pid):

        def look() -> float:
            began = time.monotonic()
            found[:] = fragile.each_until(are_lost, LOOK, ["status"])
            return time.monotonic() - began

        assert quickest(look, enough=20) < 20
    top, status = found
    servers = servers_of(top.data)
    assert servers["library_r1"]["error"] == "Connection refused"
    assert servers["library_r2"]["state"] in ("silent", "down")
    for alias in ("library_r1", "library_r2"):
        assert servers[alias]["lag_seconds"] is None
        assert servers[alias]["share_of_reads"] is None
    address = f"127.0.0.1:{spare['spare_r2'].port}"
    assert f"The server of 'library_r2' ({address}) does not answer" in status.stdout
    assert "Is it overloaded or stopped" in status.stdout

    spare["spare_r1"].start()
    spare["spare_r1"].promote()
    fragile.databases["library"], fragile.databases["library_r2"] = (
        fragile.databases["library_r2"],
        fragile.databases["library"],
    )
    _, status = fragile.each_until(are_swapped, LOOK, ["status"])
    assert "'library' is the primary of a cluster, but its server" in status.stdout
    assert "'library_r1' is listed as a replica of 'library'" in status.stdout
    assert "it was promoted, or never was one." in status.stdout


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let a server accept connections and answer none."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_terminal_is_refreshed_until_ctrl_c(project: Project) -> None:
    output, status = on_terminal(project, "shoal", "top", "--every", "0.2", times=3)
    assert status == 0, output
    assert "Traceback" not in output
    assert "library_r1" in output


def on_terminal(project: Project, *argv: str, times: int) -> tuple[str, int]:
    """Run on a terminal; press Ctrl-C when the table has been drawn `times` times."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *argv],
        cwd=PROJECT,
        env=project.environ(TERM="xterm", COLUMNS="160"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    output, pressed = "", False
    # Reading fails when the other side is closed.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            output += chunk.decode(errors="replace")
            if not pressed and output.count("library_r1") >= times:
                pressed = True
                process.send_signal(signal.SIGINT)
    os.close(ours)
    return output, process.wait(TIMEOUT)


THREADS = """
import django, io, json, threading, time
django.setup()
from django.core.management import call_command

call_command("shoal", "top", once=True, every=0.2, stdout=io.StringIO())
until = time.monotonic() + 30
while threading.active_count() > 1 and time.monotonic() < until:
    time.sleep(0.01)
print(json.dumps([thread.name for thread in threading.enumerate()]))
"""


def test_leaves_no_threads(project: Project) -> None:
    project.databases["press"]["PORT"] = "1"
    done = project.end(project.python(THREADS))
    assert json.loads(done.stdout) == ["MainThread"]


@pytest.mark.parametrize("every", ["0", "-1", "nan", "1e9"])
def test_a_time_that_is_none(project: Project, every: str) -> None:
    done = project.shoal_command("top", f"--every={every}", code=2)
    assert "--every takes seconds, from 0.2 to 3600" in done.stderr


def test_without_clusters_there_is_nothing_to_look_at(project: Project) -> None:
    project.shoal = {}
    done, as_json = project.each(["top"], ["top", "--json"])
    assert (done.code, as_json.code) == (1, 1)
    assert 'SHOAL["CLUSTERS"] lists no clusters' in done.stderr
    error: Any = as_json.data["error"]
    assert error["hint"].startswith("`manage.py shoal status` shows")
