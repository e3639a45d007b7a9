"""Takes verdicts, gives the text that a person reads after a run. Pure."""

from collections.abc import Iterator, Mapping

from tests.django_suite.outcomes import Outcome
from tests.django_suite.running import Run
from tests.django_suite.verdict import Verdict, by_error

SHOWN = 8
"""So many tests are named of those that fail with one error."""
COLUMNS = ("ran", "passed", "skipped", "listed", "new")


def heading() -> str:
    return f"{'':36}" + "".join(f"{name:>9}" for name in COLUMNS) + f"{'seconds':>10}"


def line(name: str, verdict: Verdict, seconds: float) -> str:
    """Return one line of the table: a module, or all of them."""
    numbers = (
        verdict.ran,
        verdict.counts.get("passed", 0),
        verdict.counts.get("skipped", 0),
        len(verdict.accepted),
        len(verdict.new),
    )
    return f"{name:36}" + "".join(f"{n:9}" for n in numbers) + f"{seconds:10.1f}"


def complaints(verdict: Verdict) -> Iterator[str]:
    """Say what is wrong with a run, the most frequent errors first."""
    if verdict.new:
        yield f"\n{len(verdict.new)} tests did not pass and are not listed:"
        yield from triage(verdict.new, shown=SHOWN)
    if verdict.healed:
        yield f"\n{len(verdict.healed)} listed tests do not fail; remove their lines:"
        yield from (f"    {test}" for test in verdict.healed)
    if verdict.gone:
        yield f"\n{len(verdict.gone)} listed tests do not exist; remove their lines:"
        yield from (f"    {test}" for test in verdict.gone)


def triage(outcomes: Mapping[str, Outcome], *, shown: int) -> Iterator[str]:
    for error, tests in by_error(outcomes):
        yield f"\n{len(tests):5} x {error}"
        yield from (f"        {test}" for test in tests[:shown])
        if len(tests) > shown:
            yield f"        and {len(tests) - shown} more"


def tracebacks(runs: list[Run], new: Mapping[str, Outcome]) -> Iterator[str]:
    """Say where the whole output of the modules is that have something new."""
    for run in runs:
        if not new.keys().isdisjoint(run.outcomes):
            yield f"    {run.log}"
