"""A short run of the benchmark on real servers, as a person starts it."""

import re
import subprocess
import sys

import pytest

from tests.integration.docs.pages import ROOT


def benchmark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_own_writes_are_read_back_on_real_lag() -> None:
    done = benchmark("sessions", "--reads", "300", "--no-record")
    assert not done.stderr
    # Not the exit status: so few reads do not say who left more to the replicas.
    shoal = re.search(r"Shoal\s+│\s*([\d,]+) │\s*(\d+) │", done.stdout)
    assert shoal, done.stdout
    assert int(shoal[1].replace(",", "")) >= 300
    assert shoal[2] == "0", done.stdout
    assert "Shoal sent 0 statements" in done.stdout


def test_an_unknown_name_is_usage() -> None:
    done = benchmark("nothing")
    assert done.returncode == 2
    assert (
        "No benchmark is named 'nothing'. Known: router, lab, sessions, sharding, "
        "transactions." in (done.stderr)
    )


@pytest.mark.mariadb
def test_units_commit_on_real_servers() -> None:
    done = benchmark("transactions", "--units", "5", "--no-record")
    assert not done.stderr
    # Not the exit status: so few units do not say how long they take.
    for kind in ("postgresql", "mariadb"):
        for way in ("shoal, 2", "shoal, 4", "sharded, 4", r"atomic\(a, b\)"):
            assert re.search(rf"{kind} +│ commit .*{way}", done.stdout), done.stdout
