"""Takes the lines that recording.py wrote, gives how each test ended. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RANKS = ("passed", "skipped", "withheld", "failed")
"""From good to bad: the outcome of a test is the worst that was recorded of it.

`withheld` is a test that one database would have run, and the sharded alias would not.
"""
HOLDER = re.compile(r"(setUp|tearDown)(Class|Module) \((?P<where>.+)\)")
LACKS = re.compile(r"Database (?:doesn't support|has) feature\(s\): (.+)")


@dataclass(frozen=True)
class Outcome:
    """How one test ended."""

    kind: str
    error: str = ""
    """The exception with the first line of its text, or why a test was skipped."""
    traceback: str = ""


def read(
    lines: Iterable[str], *, label: str, status: int, last: str
) -> dict[str, Outcome]:
    """
    Return the outcome of each test that was planned, and of what fails beside them.

    `status` is the exit status of runtests.py, and `last` the last line it printed:
    a run that broke down must not look like one that passed.
    """
    entries = [json.loads(line) for line in lines]
    planned = [test for entry in entries for test in entry.get("planned", ())]
    denied: dict[str, Any] = next(
        (entry for entry in entries if "features" in entry), {}
    )
    found: dict[str, Outcome] = {}
    for entry in entries:
        if "test" in entry:
            _note(found, entry, planned, denied)
    for test in planned:
        found.setdefault(test, Outcome("failed", "The run ended before this test."))
    failed = any(outcome.kind == "failed" for outcome in found.values())
    if not planned or (status and not failed):
        said = f"runtests.py ended with exit status {status}: {last}"
        found[f"{label}.runtests"] = Outcome("failed", said)
    return found


def _note(
    found: dict[str, Outcome],
    entry: Mapping[str, Any],
    planned: list[str],
    denied: Mapping[str, list[str]],
) -> None:
    outcome = Outcome(
        entry["outcome"], entry.get("error", ""), entry.get("traceback", "")
    )
    for test in tests_of(entry["test"], planned):
        kind = "withheld" if _withheld(test, outcome, denied) else outcome.kind
        ended = Outcome(kind, outcome.error, outcome.traceback)
        if test not in found or _rank(ended) > _rank(found[test]):
            found[test] = ended


def _rank(outcome: Outcome) -> int:
    return RANKS.index(outcome.kind)


def tests_of(name: str, planned: list[str]) -> list[str]:
    """Return the tests that an outcome is of: a whole class, if its set-up failed."""
    holder = HOLDER.fullmatch(name)
    if holder is None:
        return [name]
    where = holder["where"]
    inside = [test for test in planned if test.startswith(f"{where}.")]
    if holder[1] == "setUp" and inside:
        return inside
    return [f"{where}.{holder[1]}{holder[2]}"]


def _withheld(test: str, outcome: Outcome, denied: Mapping[str, list[str]]) -> bool:
    if outcome.kind != "skipped":
        return False
    lacks = LACKS.fullmatch(outcome.error)
    named = re.split(r"[,\s]+", lacks[1].rstrip(".")) if lacks else []
    return test in denied.get("skips", ()) or not set(named).isdisjoint(
        denied.get("features", ())
    )
