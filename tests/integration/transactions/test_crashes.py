"""Everything is killed at every step of a commit: all or nothing, nothing left."""

import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal.transactions.recovering import recover
from tests.integration.transactions.apart import KINDS, Site, kill
from tests.integration.transactions.asking import TRIO, ask, prepared
from tests.integration.transactions.cutting import Cut
from tests.integration.transactions.steps import STEPS
from tests.waiting import until

DECIDED = STEPS[STEPS.index("decided") :]


def _cases(often: Any, rarely: Any = ()) -> Any:
    """Let a test run in some cases, and in the others where all is to be tried."""
    rest = [one for one in rarely if one not in often]
    cases = sorted([*often, *rest], key=lambda case: KINDS.index(case[0]))
    marked = [pytest.param(*case, marks=_marks(case, rest)) for case in cases]
    names = ("site_kind", "step", "alias")[: len(cases[0])]
    return pytest.mark.parametrize(
        names, marked, indirect=["site_kind"], scope="module"
    )


def _marks(case: Any, rest: Any) -> list[Any]:
    marks = [pytest.mark.mariadb] if case[0] in ("mariadb", "mixed") else []
    return [*marks, pytest.mark.crash] if case in rest else marks


KILLS = [(kind, step) for kind in KINDS for step in STEPS]
SERVERS = [
    (kind, step, alias)
    for kind in KINDS
    for step in STEPS
    for alias in TRIO
    if (kind, alias) != ("mixed", "left")
]


@_cases(
    [case for case in KILLS if case[0] in ("postgresql", "mariadb")]
    + [("mixed", "prepared 2"), ("mixed", "decided")],
    KILLS,
)
def test_the_process_is_killed(site: Site, step: str) -> None:
    work = site.start(halt=step, how="SIGKILL")
    told = work.end()
    assert told == ""
    assert work.said[-1] == step
    assert site.require_finished(work.number, told) == (step in DECIDED)


@_cases(
    [
        ("postgresql", "prepared 1", "left"),
        ("postgresql", "decided", "left"),
        ("postgresql", "prepared 1", "right"),
        ("postgresql", "decided", "right"),
        ("mariadb", "prepared 2", "left"),
        ("mariadb", "decided", "right"),
        ("mixed", "decided", "third"),
    ],
    SERVERS,
)
def test_a_server_is_killed(site: Site, step: str, alias: str) -> None:
    with contextlib.closing(site.start(halt=step)) as work:
        work.reached(step)
        kill(site.servers[alias])
        work.go_on()
        told = work.end()
    if step in DECIDED:
        assert told == "told of success"
    elif alias != "left" and "prepared" not in step:
        assert told.startswith("error OperationalError")
    site.require_finished(work.number, told)


@_cases(
    [
        ("postgresql", "prepared 2", "left"),
        ("postgresql", "prepared 2", "third"),
        ("mariadb", "decided", "left"),
        ("mariadb", "prepared 2", "third"),
    ],
    SERVERS,
)
def test_a_server_is_killed_and_comes_back(site: Site, step: str, alias: str) -> None:
    with contextlib.closing(site.start(halt=step, settle=10)) as work:
        work.reached(step)
        kill(site.servers[alias])
        site.servers[alias].start()
        work.go_on()
        told = work.end()
    assert "CommitInDoubt" not in told
    assert site.require_finished(work.number, told) == (told == "told of success")


MOMENTS = {
    "prepare": ("right", rb"PREPARE"),
    "decide": ("left", rb"COMMIT\b"),
    "commit": ("right", rb"COMMIT PREPARED|XA COMMIT"),
}
CUTS = [
    (kind, f"{moment} {when}")
    for kind in ("postgresql", "postgresql_15", "mariadb")
    for moment in MOMENTS
    for when in ("before", "after")
]


@_cases([case for case in CUTS if case[0] != "postgresql_15"], CUTS)
def test_the_line_is_cut(site: Site, step: str) -> None:
    """Before the server hears of it, and after that, before it can answer."""
    moment, when = step.split()
    alias, sent = MOMENTS[moment]
    with (
        Cut(site.databases[alias], sent, when=when) as cut,
        contextlib.closing(site.start(settle=10, **{alias: cut.database})) as work,
    ):
        told = work.end()
        assert cut.was_cut
    assert "CommitInDoubt" not in told
    has_committed = site.require_finished(work.number, told)
    assert has_committed == (told == "told of success")
    assert has_committed == (step in ("decide after", "commit before", "commit after"))


@_cases([("postgresql", "decide"), ("mariadb", "decide")])
def test_nobody_guesses_while_the_home_server_may_still_commit(
    site: Site, step: str
) -> None:
    """Its session lasts, but what was sent to it is on the way for ever."""
    alias, sent = MOMENTS[step]
    with (
        Cut(site.databases[alias], sent, when="never") as cut,
        contextlib.closing(site.start(**{alias: cut.database})) as work,
    ):
        told = work.end()
        assert "CommitInDoubt" in told
        recovery = recover(wait=1)
        assert [one.fate for one in recovery.found] == ["undecided"] * 2
        assert len(prepared(*TRIO)) == 2
    assert not site.require_finished(work.number, told)


@_cases([(kind, step) for kind in KINDS[::2] for step in STEPS[1:4]])
def test_a_process_that_is_stuck_before_it_decides(site: Site, step: str) -> None:
    with contextlib.closing(site.start(halt=step, how="SIGSTOP")) as work:
        work.stopped(step)
        # All are told before the answer of one is read.
        until(lambda: len(prepared(*TRIO)) == (2 if "prepared" in step else 0))
        branches = prepared(*TRIO)
        recovery = recover(wait=1)
        assert [one.fate for one in recovery.found] == ["undecided"] * len(branches)
        assert prepared(*TRIO) == branches
        work.signal(signal.SIGCONT)
        told = work.end()
    assert told == "told of success"
    assert site.require_finished(work.number, told)


@_cases([(kind, step) for kind in KINDS[::2] for step in STEPS[4:]])
def test_a_process_that_is_stuck_after_it_has_decided(
    site_kind: str, site: Site, step: str
) -> None:
    with contextlib.closing(site.start(halt=step, how="SIGSTOP")) as work:
        work.stopped(step)
        # All are told before the answer of one is read.
        until(lambda: len(prepared(*TRIO)) == (2 if step == "decided" else 0))
        recovery = recover(wait=1)
        if site_kind == "mariadb":
            # As long as the session lasts that has prepared it, it alone may commit.
            assert {one.fate for one in recovery.found} <= {"undecided"}
        else:
            assert recovery.left == []
            assert set(site.stored(work.number).values()) == {True}
        work.signal(signal.SIGCONT)
        told = work.end()
    assert told == "told of success"
    assert site.require_finished(work.number, told)


WAITS_FOR_DECISION = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mariadb": "SELECT count(*) FROM information_schema.processlist "
    "WHERE info LIKE 'INSERT%shoal_decision%' AND id <> connection_id()",
}


@_cases([(kind, "prepared 2") for kind in KINDS[::2]])
def test_who_recovers_waits_for_a_process_until_it_is_gone(
    site_kind: str, site: Site, step: str
) -> None:
    with (
        contextlib.closing(site.start(halt=step, how="SIGSTOP")) as work,
        ThreadPoolExecutor(1) as pool,
    ):
        work.stopped(step)
        recovering = pool.submit(recover, wait=30)
        until(lambda: ask("left", WAITS_FOR_DECISION[site_kind]) == [(1,)])
        work.signal(signal.SIGKILL)
        recovery = recovering.result()
        told = work.end()
    assert [one.fate for one in recovery.found] == ["rolled back"] * 2
    assert not site.require_finished(work.number, told)


@_cases([("postgresql", "prepared 2"), ("postgresql", "decided")])
def test_the_command_finishes_it(site: Site, step: str) -> None:
    work = site.start(halt=step, how="SIGKILL")
    work.end()
    done = site.command("recover")
    fate = "committed 2, rolled back 0" if step in DECIDED else "rolled back 2"
    assert fate in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    again = site.command("recover")
    assert (again.returncode, again.stdout) == (0, "Nothing is in doubt.\n")
    site.require_finished(work.number, "")
