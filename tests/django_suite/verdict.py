"""Takes outcomes and what is listed, gives whether a run may be called good. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.django_suite.listed import Listed
from tests.django_suite.outcomes import Outcome

BAD = frozenset({"failed", "withheld"})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of one run, or of one module."""

    counts: Mapping[str, int]
    """How many tests passed, failed, and so on."""
    new: Mapping[str, Outcome]
    """Did not pass, and nobody has listed them."""
    accepted: tuple[str, ...]
    """Did not pass, as listed."""
    healed: tuple[str, ...]
    """Listed, but did not fail: the line has to go."""
    gone: tuple[str, ...] = field(default=())
    """Listed, but there is no such test."""

    @property
    def good(self) -> bool:
        return not (self.new or self.healed or self.gone)

    @property
    def ran(self) -> int:
        return sum(self.counts.values())


def judge(
    outcomes: Mapping[str, Outcome],
    listed: Iterable[Listed],
    *,
    whole: Iterable[str] = (),
) -> Verdict:
    """
    Compare what happened with what may happen.

    `listed` is what applies here. `whole` names the modules that ran completely: only
    there can it be said that a listed test does not exist.
    """
    lines = {line.test: line for line in listed}
    unknown = {test for test, o in outcomes.items() if o.kind == "gathers"}
    bad = {test: o for test, o in outcomes.items() if o.kind in BAD}
    modules = frozenset(whole)
    return Verdict(
        counts=Counter(outcome.kind for outcome in outcomes.values()),
        new={test: outcome for test, outcome in bad.items() if test not in lines},
        accepted=tuple(sorted(test for test in bad if test in lines)),
        healed=tuple(
            sorted(
                test
                for test, line in lines.items()
                if test in outcomes.keys() - bad.keys() - unknown and not line.flaky
            )
        ),
        gone=tuple(
            sorted(
                test
                for test in lines
                if test not in outcomes and test.partition(".")[0] in modules
            )
        ),
    )


def by_error(outcomes: Mapping[str, Outcome]) -> list[tuple[str, list[str]]]:
    """Group tests by what they ended with, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for test, outcome in sorted(outcomes.items()):
        groups.setdefault(f"{outcome.kind}: {gist(outcome.error)}", []).append(test)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def gist(error: str) -> str:
    """Return an error without the values that differ from test to test."""
    for values in (r"[\[<{(].*[\]>})]", r"'[^']{25,}'", r"\d+(\.\d+)?"):
        error = re.sub(values, "…", error)
    return error
