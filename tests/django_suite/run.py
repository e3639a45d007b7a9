"""Takes modules of Django's test suite, runs them on a sharded alias.

Exit status: 0 every test passed or is listed, 1 something differs from the list or
the run could not be made, 2 usage.
"""

import argparse
import datetime
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import django

from tests.django_suite import listed, report
from tests.django_suite.answers import Answers
from tests.django_suite.failure import SuiteError
from tests.django_suite.listed import Setting
from tests.django_suite.outcomes import Outcome
from tests.django_suite.running import Run, run_all
from tests.django_suite.site import sites
from tests.django_suite.source import bring_tests, cache, remove_old
from tests.django_suite.verdict import Verdict, judge

HERE = Path(__file__).parent
MODULES = HERE / "modules.txt"
EXPECTED = HERE / "expected_failures.txt"
RUNS_KEPT = 10


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    try:
        return run_suite(options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make test-django", description=__doc__)
    made.add_argument("modules", nargs="*", help="instead of all in modules.txt")
    made.add_argument("--vendor", choices=("sqlite", "postgresql"), default="sqlite")
    made.add_argument("--plain", action="store_true", help="on one database, unsharded")
    made.add_argument(
        "--no-gather",
        action="store_true",
        help='set "GATHER": "error"; a test that has to gather is only counted',
    )
    made.add_argument("--parallel", type=int, default=1, metavar="N")
    made.add_argument("-k", action="append", default=[], metavar="PATTERN")
    made.add_argument("--triage", type=Path, metavar="FILE", help="write all failures")
    return made


def run_suite(options: argparse.Namespace) -> int:
    if options.plain and options.no_gather:
        raise SuiteError(
            "One database has nothing to gather.",
            hint="Leave out --plain or --no-gather.",
        )
    labels = options.modules or modules(MODULES.read_text(), options.vendor)
    version = ".".join(django.__version__.split(".")[:2])
    setting = Setting(options.vendor, version, options.plain)
    expected = [e for e in listed.parse(EXPECTED.read_text()) if e.applies(setting)]
    tests = bring_tests()
    folder = new_folder()
    print(f"Django {django.__version__}, {options.vendor}; its tests are in {tests}")
    begun = time.monotonic()
    runs: list[Run] = []
    print(report.heading(), flush=True)
    with sites(
        options.vendor, plain=options.plain, workers=max(1, options.parallel)
    ) as there:
        if options.no_gather:
            there = [replace(site, gather="error") for site in there]
        patterns = [word for pattern in options.k for word in ("-k", pattern)]
        for run in run_all(labels, there, tests=tests, folder=folder, options=patterns):
            runs.append(run)
            verdict = judge(run.outcomes, expected)
            print(report.line(run.label, verdict, run.answers, run.seconds), flush=True)
    whole = () if options.k else (label for label in labels if "." not in label)
    verdict = judge(together(runs), expected, whole=whole)
    answers = sum((run.answers for run in runs), Answers())
    conclude(verdict, answers, runs, time.monotonic() - begun, folder)
    if options.triage:
        write_triage(options.triage, runs)
    # A few modules may be the very ones that gather.
    too_much = "" if options.modules or options.k else report.too_much(answers)
    if too_much:
        print(f"\n{too_much}")
    return 0 if verdict.good and not too_much else 1


def modules(text: str, vendor: str) -> list[str]:
    """Return the modules of the list; a word behind one says for which vendor it is."""
    words = (line.partition("#")[0].split() for line in text.splitlines())
    return [name for name, *only in filter(None, words) if not only or vendor in only]


def new_folder() -> Path:
    """Make a folder for what this run writes, and keep those of few earlier ones."""
    runs = cache() / "runs"
    runs.mkdir(exist_ok=True)
    remove_old(runs, keep=RUNS_KEPT)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{now}-{os.getpid()}"
    folder.mkdir()
    return folder


def together(runs: Iterable[Run]) -> dict[str, Outcome]:
    return {test: outcome for run in runs for test, outcome in run.outcomes.items()}


def conclude(
    verdict: Verdict, answers: Answers, runs: list[Run], seconds: float, folder: Path
) -> None:
    print(report.line(f"{len(runs)} modules", verdict, answers, seconds))
    for text in report.ways(answers, verdict.ran):
        print(text)
    for text in report.complaints(verdict):
        print(text)
    if verdict.new:
        print("\nTracebacks are in:")
        for text in report.tracebacks(runs, verdict.new):
            print(text)
    else:
        print(f"What the modules printed is in {folder}")


def write_triage(path: Path, runs: list[Run]) -> None:
    """Write every test that did not pass, listed or not, grouped by error."""
    verdict = judge(together(runs), ())
    path.write_text("\n".join(report.triage(verdict.new, shown=sys.maxsize)) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
