"""The benchmark of sharding runs, and everybody in it that should be right is."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from benchmarks import record, sharding

record.FOLDER = Path(sys.argv[1])
sys.exit(sharding.main(rows=300, wide=5))
"""


def test_a_small_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    # What is measured in so short a time says nothing: a target may be missed.
    assert done.returncode in (0, 1), done.stderr
    assert not done.stderr
    [kept] = (tmp_path / "sharding.jsonl").read_text().splitlines()
    results = json.loads(kept)["results"]
    assert results["rows"] == 300
    ours = [line for line in results["lines"] if line["against"] != "SQLAlchemy"]
    assert len(ours) > 25
    for line in ours:
        assert not line["wrong"], line
        assert not line["refused"], line
        assert line["ratio"] is not None, line
        assert line["work"] in done.stdout
