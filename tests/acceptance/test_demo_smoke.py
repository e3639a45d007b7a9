"""The demo as its users run it: in one command, and with nothing left behind."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.lab import Lab, Postgres

EXAMPLE = Path(__file__).parents[2] / "examples" / "reviews"
SETTINGS = "reviewsite.settings"
WITHIN = 240
SHARDS = tuple(f"reviews_{number}" for number in range(4))
SERVERS = ("products", "products_r1", "products_r2", "accounts", *SHARDS)


def run(
    *command: str, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=EXAMPLE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, **(env or {})},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


@pytest.mark.slow
def test_smoke_visits_every_page() -> None:
    done = run("demo.py", "--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^ok +(.+?) +\d+ ms", done.stdout, re.MULTILINE)
    assert {
        "write",
        "replicas behind",
        "a shard down",
        "admin deletes",
        "killed in the middle",
        "two in doubt at once",
        "pressed by several",
        "tables",
    } <= set(steps)
    assert f"{len(steps)} of {len(steps)} steps went well." in done.stdout
    for answer in (
        "products_r",
        "(replica)",
        "reviews_0 (shard)",
        "reviews_3 (shard)",
        "accounts (primary)",
    ):
        assert answer in done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Give a short directory that servers without privileges may enter."""
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "end", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.crash)]
)
def test_nothing_is_left_behind(scratch: Path, end: signal.Signals) -> None:
    said = scratch / "said"
    folder = scratch / "tmp"
    folder.mkdir()
    folder.chmod(0o777)
    with (
        said.open("w") as output,
        subprocess.Popen(
            [sys.executable, "demo.py", "--port", "0"],
            cwd=EXAMPLE,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as demo,
    ):
        eventually(lambda: "Ctrl-C stops all" in said.read_text() or demo.poll())
        ports = [int(port) for port in re.findall(r", port (\d+)", said.read_text())]
        assert len(ports) == len(SERVERS), said.read_text()
        assert all(listens(port) for port in ports)
        demo.send_signal(end)
        status = demo.wait(WITHIN)
    assert status == (-end if end == signal.SIGKILL else 0), said.read_text()
    eventually(lambda: not any(listens(port) for port in ports))
    eventually(lambda: list(folder.iterdir()) == [])


def test_a_port_that_is_taken_is_said_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo.py", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port} can't be used: ")
    assert "leave --port out" in done.stderr
    assert done.stdout == ""


def test_fewer_reviews_than_the_real_ones_are_refused() -> None:
    done = run("demo.py", "--port", "0", "--reviews", "5")
    assert done.returncode == 1
    assert "--reviews 5 is less than the 100,004 real ones" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_example_has_tests_of_its_own_and_no_check_complains() -> None:
    products = Postgres("products", replicas=("products_r1", "products_r2"))
    shards = [Postgres(shard) for shard in SHARDS]
    with Lab(products, *shards, Postgres("accounts")) as lab:
        env = {"REVIEWS_DATABASES": json.dumps(lab.databases)}
        tests = run("-W", "error", "manage.py", "test", "--shuffle", env=env)
        assert tests.returncode == 0, tests.stderr
        checks = run("manage.py", "check", "--fail-level", "WARNING", env=env)
        assert checks.returncode == 0, checks.stderr
        changes = run("manage.py", "makemigrations", "--check", env=env)
        assert changes.returncode == 0, changes.stdout


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 9):
        return True
    return False
