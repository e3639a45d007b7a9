"""`lab_fixture` makes a fixture of whatever name it is bound to."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.lab.traces import Traces

MODULE = """
import pytest
from shoal.lab import Lab, Postgres, lab_fixture

servers = lab_fixture(Postgres("one"), scope="module")
seen = set()

@pytest.mark.parametrize("number", [1, 2])
def test_same_lab(servers: Lab, number: int) -> None:
    assert servers["one"].sql("select 1") == [(1,)]
    seen.add(servers["one"].port)
    assert len(seen) == 1
"""


def test_a_fixture_yields_the_lab_for_its_scope(traces: Traces, tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text(MODULE)
    env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", str(module)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
    traces.assert_none()
