"""Takes verdicts, gives the text that a person reads after a run. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.django_suite.answers import MOST, Answers
from tests.django_suite.outcomes import Outcome
from tests.django_suite.running import Run
from tests.django_suite.verdict import Verdict, by_error

SHOWN = 8
"""So many tests are named of those that fail with one error."""
COLUMNS = ("ran", "passed", "skipped", "listed", "new", "gathered")


def heading() -> str:
    return f"{'':36}" + "".join(f"{name:>9}" for name in COLUMNS) + f"{'seconds':>10}"


def line(name: str, verdict: Verdict, answers: Answers, seconds: float) -> str:
    """Return one line of the table: a module, or all of them."""
    numbers = (
        verdict.ran,
        verdict.counts.get("passed", 0),
        verdict.counts.get("skipped", 0),
        len(verdict.accepted),
        len(verdict.new),
        len(answers.gathering),
    )
    return f"{name:36}" + "".join(f"{n:9}" for n in numbers) + f"{seconds:10.1f}"


def ways(answers: Answers, ran: int) -> Iterator[str]:
    """Say how the queries were answered, and why those that were gathered were."""
    gathering, asking = len(answers.gathering), len(answers.asking)
    if not asking:
        return
    yield (
        f"gather: {gathering:,} of {ran:,} tests ({gathering / ran:.1%}), "
        f"{answers.share:.1%} of the {asking:,} that query the sharded alias; "
        f"queries: one shard {answers.ways.get('one shard', 0):,}, "
        f"scattered {answers.ways.get('scatter', 0):,}, "
        f"merged {answers.ways.get('merge', 0):,}, "
        f"gathered {answers.ways.get('gather', 0):,}"
    )
    for ground, count in Counter(answers.grounds).most_common(SHOWN):
        yield f"{count:9,}  {ground}"


def too_much(answers: Answers) -> str:
    """Say it if too many tests need to gather; empty if not."""
    if answers.share < MOST:
        return ""
    return (
        f"{answers.share:.1%} of the tests that query the sharded alias need to "
        f"gather, where fewer than {MOST:.1%} may: a cheaper way has been lost."
    )


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
