"""A short run of the benchmark on real servers, as a person starts it."""

import re
import subprocess
import sys

from tests.integration.docs.pages import ROOT


def test_own_writes_are_read_back_on_real_lag() -> None:
    command = [sys.executable, "-m", "benchmarks", "sessions", "--reads", "300"]
    done = subprocess.run(
        [*command, "--no-record"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr
    # Not the exit status: so few reads do not say who left more to the replicas.
    shoal = re.search(r"Shoal\s+│\s*([\d,]+) │\s*(\d+) │", done.stdout)
    assert shoal, done.stdout
    assert int(shoal[1].replace(",", "")) >= 300
    assert shoal[2] == "0", done.stdout
    assert "Shoal sent 0 statements" in done.stdout


def test_an_unknown_name_is_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert (
        "No benchmark is named 'nothing'. Known: router, lab, sessions, sharding."
        in (done.stderr)
    )
