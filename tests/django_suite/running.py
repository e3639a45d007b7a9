"""Takes modules and sites, runs Django's runtests.py on each, gives the outcomes.

One process for each module: the outcome is the same whether a module runs alone or
with all the others, and one that breaks down takes no other with it.
"""

import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.django_suite import recording
from tests.django_suite.answers import Answers, forgiven, read_answers
from tests.django_suite.outcomes import Outcome, read
from tests.django_suite.site import Site
from tests.django_suite.source import ROOT

SETTINGS = "tests.django_suite.settings"
MINUTES = 30
"""After so long a module hangs."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process of runtests.py that has ended."""

    label: str
    outcomes: Mapping[str, Outcome]
    answers: Answers
    seconds: float
    log: Path


def run_all(
    labels: Sequence[str],
    sites: Sequence[Site],
    *,
    tests: Path,
    folder: Path,
    options: Sequence[str],
) -> Iterator[Run]:
    """Run every label, as many at a time as there are sites; yield each that ended."""
    free: queue.Queue[Site] = queue.Queue()
    for site in sites:
        free.put(site)

    def run_one(label: str) -> Run:
        site = free.get()
        try:
            return run(label, site, tests=tests, folder=folder, options=options)
        finally:
            free.put(site)

    pool = ThreadPoolExecutor(len(sites))
    try:
        for future in as_completed([pool.submit(run_one, label) for label in labels]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run(
    label: str, site: Site, *, tests: Path, folder: Path, options: Sequence[str]
) -> Run:
    """Run one label in a process of its own and read what it recorded."""
    lines, log = folder / f"{label}.jsonl", folder / f"{label}.log"
    lines.touch()
    begun = time.monotonic()
    status = _runtests(label, site, tests, lines, log, options)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    recorded = lines.read_text(encoding="utf-8").splitlines()
    last = said[-1] if said else ""
    outcomes = read(recorded, label=label, status=status, last=last)
    answers = read_answers(recorded)
    if site.gather == "error":
        outcomes = forgiven(outcomes, answers)
    return Run(
        label=label,
        outcomes=outcomes,
        answers=answers,
        seconds=time.monotonic() - begun,
        log=log,
    )


def _runtests(
    label: str, site: Site, tests: Path, lines: Path, log: Path, options: Sequence[str]
) -> int:
    command = [sys.executable, "runtests.py", f"--settings={SETTINGS}", "--noinput"]
    command += ["--parallel=1", *options, label]
    environment = {
        **os.environ,
        **site.variable(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        recording.VARIABLE: str(lines),
    }
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=tests,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return process.wait(MINUTES * 60)
        except subprocess.TimeoutExpired:
            output.write(f"\nKilled after {MINUTES} minutes.\n")
            return 124
        finally:
            process.kill()
            process.wait()
