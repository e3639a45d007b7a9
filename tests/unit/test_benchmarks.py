"""What the benchmarks make of what they have measured."""

import json
from pathlib import Path

import pytest
from benchmarks import record as history
from benchmarks.results import Result, Run, as_json, verdict


def result(name: str, *, stale: int = 0, on_replicas: int = 900) -> Result:
    return Result(name, reads=1000, stale=stale, on_replicas=on_replicas)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([result("Shoal"), result("a pin", on_replicas=800)], 0),
        ([result("Shoal"), result("any replica", stale=300, on_replicas=1000)], 0),
        ([result("Shoal", stale=1), result("a pin", on_replicas=800)], 1),
        ([result("Shoal"), result("a pin", stale=9, on_replicas=901)], 1),
    ],
    ids=["more on replicas", "many stale reads", "own stale read", "fewer on replicas"],
)
def test_the_verdict(results: list[Result], expected: int) -> None:
    assert verdict(results) == expected


def test_a_run_is_a_line_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    run = Run(
        results=[result("Shoal"), result("a pin")],
        lags=[0.5, 1.0, 3.0],
        seconds=10.0,
        behind=4,
        waits=[0.001, 0.003],
        looks=120,
    )
    for _ in range(2):
        history.record("sessions", as_json(run), postgresql="18.6")
    lines = (tmp_path / "sessions.jsonl").read_text().splitlines()
    assert len(lines) == 2
    found = json.loads(lines[0])
    assert found["machine"].keys() == {"cpus", "architecture", "kernel"}
    assert found["versions"]["postgresql"] == "18.6"
    assert found["results"]["contenders"]["Shoal"]["share_on_replicas"] == 0.9
    assert found["results"]["lag"] == {"median": 1.0, "longest": 3.0}
    assert found["results"]["asking_ms"] == 2.0
    assert found["results"]["looks_a_second"] == 12.0


@pytest.mark.parametrize(
    "path", sorted(history.FOLDER.glob("*.jsonl")), ids=lambda path: path.stem
)
def test_the_history_can_be_read(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert json.loads(line).keys() == {"date", "machine", "versions", "results"}
