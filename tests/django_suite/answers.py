"""Takes the lines that recording.py wrote, gives which way queries went. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tests.django_suite.outcomes import Outcome, tests_of

MOST = 0.35
"""
So many of the tests that ask a sharded alias may need to gather, and no more. Of all
tests that is a sixth. Measured were 32.4 to 33.3 %: it hangs on vendor and version.
"""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How the queries of some tests were answered."""

    asking: frozenset[str] = frozenset()
    """The tests that have asked the sharded alias anything."""
    gathering: frozenset[str] = frozenset()
    """Those for which a query had to be gathered, be it for what a class sets up."""
    ways: Mapping[str, int] = field(default_factory=Counter)
    """Queries, by the way that answered them."""
    grounds: Mapping[str, int] = field(default_factory=Counter)
    """Gathered queries, by what stood in the way of a cheaper answer."""

    def __add__(self, other: "Answers") -> "Answers":
        return Answers(
            asking=self.asking | other.asking,
            gathering=self.gathering | other.gathering,
            ways=Counter(self.ways) + Counter(other.ways),
            grounds=Counter(self.grounds) + Counter(other.grounds),
        )

    @property
    def share(self) -> float:
        return len(self.gathering) / len(self.asking) if self.asking else 0.0


def read_answers(lines: Iterable[str]) -> Answers:
    """Return what was counted of the tests that were planned."""
    entries = [json.loads(line) for line in lines]
    planned = [test for entry in entries for test in entry.get("planned", ())]
    known = frozenset(planned)
    found = Answers()
    for entry in entries:
        if "asked" in entry:
            tests = known.intersection(tests_of(entry["asked"], planned))
            found += Answers(
                asking=tests,
                gathering=tests if "gather" in entry["ways"] else frozenset(),
                ways=entry["ways"],
                grounds=entry["grounds"],
            )
    return found


def forgiven(outcomes: Mapping[str, Outcome], answers: Answers) -> dict[str, Outcome]:
    """Return outcomes of a run that forbids to gather: who needs to has not failed."""
    return {
        test: replace(outcome, kind="gathers")
        if test in answers.gathering and outcome.kind in ("passed", "failed")
        else outcome
        for test, outcome in outcomes.items()
    }
