"""`manage.py shoal recover`: finish what a crash left in doubt, and resume sagas."""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections
from rich.console import Console

from shoal.cli import arguments, findings, in_doubt, sagas
from shoal.cli.screen import Screen
from shoal.cli.stopping import stopped_by_signals
from shoal.errors import ShoalError
from shoal.topology.probe.asking import as_line
from shoal.transactions import tables
from shoal.transactions.reaching import primaries
from shoal.transactions.recovering import WAIT, Found, Recovery, recover
from shoal.transactions.saga import (
    Report,
    Standing,
    discover,
    resume,
    retry,
    settle,
)
from shoal.transactions.saga.places import known_aliases
from shoal.types import Alias

SHORTEST = 0.05
KINDS = ("finished", "compensated", "waiting", "running", "stuck", "unknown")
"""Of runs, in the order in which a report tells of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="Go on until it is stopped."
    )
    parser.add_argument(
        "--every",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="How often --watch looks. Default: 10.",
    )
    parser.add_argument(
        "--wait",
        type=int,
        default=WAIT,
        metavar="SECONDS",
        help="How long to wait for a commit that is in flight, and for the session of "
        f"a process that is gone. Default: {WAIT}.",
    )
    parser.add_argument(
        "--create-tables",
        action="store_true",
        help="First make the tables of transactions in each database, where the "
        "project's own user may not.",
    )
    parser.add_argument(
        "--retry",
        nargs="*",
        metavar="SAGA/KEY",
        help="Let these stuck sagas go on where they stopped; without a name, all.",
    )
    parser.add_argument(
        "--settle",
        nargs="+",
        metavar="SAGA/KEY",
        help="Take these stuck sagas for seen to by hand: nothing more is done.",
    )


def usage_error(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with how the arguments go together."""
    if options["watch"] and options["json"]:
        return "--json writes one document, and --watch does not end"
    return arguments.wrong_seconds(
        "--every", options["every"], shortest=SHORTEST
    ) or arguments.wrong_seconds(
        "--wait", options["wait"], shortest=1, unit="whole seconds"
    )


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass has done."""

    recovery: Recovery
    sagas: Report

    @property
    def down(self) -> dict[Alias, str]:
        """The databases that could not be asked, and why."""
        return {**self.recovery.down, **self.sagas.down}

    @property
    def is_clean(self) -> bool:
        return not (self.recovery.left or self.down) and self.sagas.is_clean


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Finish what can be finished; raise `ShoalError` if something stays."""
    if options["create_tables"]:
        _create_tables()
    # Before all others go on.
    if options["settle"]:
        settle(options["settle"])
    if options["retry"] is not None:
        retry(options["retry"] or None)
    if options["watch"]:
        _watch(options, screen.out)
        return
    done = one_pass(options["wait"])
    if screen.is_json:
        screen.data(as_json(done))
    show(done, screen.out)
    if not done.is_clean:
        raise ShoalError(_what_is_left(done), hint=_hint(done))


def _create_tables() -> None:
    failed = {}
    for alias in primaries():
        try:
            tables.create(alias)
        except Error as error:
            failed[alias] = as_line(error, connections.settings[alias])
    if failed:
        said = "; ".join(f"{alias!r}: {why}" for alias, why in failed.items())
        raise ShoalError(
            f"The tables of transactions could not be made everywhere. {said}",
            hint="The other databases have them. Run it again for these, as a user "
            "who may create tables.",
        )


def one_pass(wait: int, *, may_go_on: Callable[[], bool] = lambda: True) -> Pass:
    recovery = recover(wait=wait)
    discover()
    up = [alias for alias in known_aliases() if alias not in recovery.down]
    return Pass(recovery=recovery, sagas=resume(aliases=up, may_go_on=may_go_on))


def _hint(done: Pass) -> str:
    said = []
    if done.recovery.left or done.down:
        said.append("Run it again once every server can be asked.")
    if done.recovery.left:
        said.append(
            "What nobody decides here is finished by hand, after a look at its home "
            "database: COMMIT PREPARED or ROLLBACK PREPARED, on MariaDB and MySQL XA "
            "COMMIT or XA ROLLBACK."
        )
    if done.sagas.stuck:
        said.append(
            "Mend what stopped the sagas and let them go on with --retry, or see to "
            "them by hand and say so with --settle SAGA/KEY."
        )
    if done.sagas.unknown:
        said.append(
            "Let an installed app define the sagas that nobody defines, in its "
            "sagas.py, until their last run has ended."
        )
    return " ".join(said)


def _what_is_left(done: Pass) -> str:
    recovery, said = done.recovery, []
    if recovery.left:
        count = findings.counted(len(recovery.left), "prepared transaction")
        said.append(f"{count} left in doubt")
    if done.down:
        said.append(f"{', '.join(map(repr, done.down))} could not be asked")
    if done.sagas.stuck:
        said.append(f"{findings.counted(len(done.sagas.stuck), 'saga')} stuck")
    if done.sagas.unknown:
        count = findings.counted(len(done.sagas.unknown), "run")
        said.append(f"{count} of sagas that nobody defines")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _watch(options: Mapping[str, Any], console: Console) -> None:
    console.print(f"Looking every {options['every']:g} s. Stop with Ctrl-C.")
    before = None
    with stopped_by_signals() as stop:
        while not stop.is_set():
            done = one_pass(options["wait"], may_go_on=lambda: not stop.is_set())
            said = as_json(done)
            if said != before and (_has_news(done) or before is not None):
                show(done, console)
            before = said
            stop.wait(options["every"])


def _has_news(done: Pass) -> bool:
    sagas = done.sagas
    return bool(
        done.recovery.found or not done.is_clean or sagas.finished or sagas.compensated
    )


def show(done: Pass, console: Console) -> None:
    _show_recovery(done.recovery, console)
    for alias, why in done.down.items():
        console.print(f"{alias!r} could not be asked: {why}", soft_wrap=True)
    for kind in KINDS:
        for standing in getattr(done.sagas, kind):
            console.print(_saga_line(kind, standing), soft_wrap=True)


def _saga_line(kind: str, standing: Standing) -> str:
    if kind == "waiting" and standing.due is not None:
        return f"{standing.name} goes on at {standing.due:%Y-%m-%d %H:%M:%S} UTC."
    said = {
        "running": "is run by another process",
        "unknown": "belongs to a saga that no sagas.py defines",
    }.get(kind, f"is {kind}")
    why = f": {standing.error}" if kind in ("stuck", "compensated") else ""
    return f"{standing.name} {said}{why or '.'}"


def _show_recovery(recovery: Recovery, console: Console) -> None:
    fates = Counter(one.fate for one in recovery.found if not one.is_left)
    done = [f"{fate} {fates[fate]}" for fate in ("committed", "rolled back")]
    if fates:
        console.print(f"Finished what was in doubt: {', '.join(done)}.")
    elif not recovery.left:
        where = " on the databases that could be asked" if recovery.down else ""
        console.print(f"Nothing is in doubt{where}.")
    for one in recovery.left:
        console.print(f"{in_doubt.as_line(one.branch)}: {one.why}.", soft_wrap=True)


def as_json(done: Pass) -> dict[str, Any]:
    return {
        "ok": done.is_clean,
        "transactions": [_found_as_json(one) for one in done.recovery.found],
        "unreachable": done.down,
        "sagas": {
            kind: [sagas.run_as_json(one) for one in getattr(done.sagas, kind)]
            for kind in KINDS
        },
    }


def _found_as_json(found: Found) -> dict[str, Any]:
    return {
        **in_doubt.as_json(found.branch),
        "fate": found.fate,
        "why": found.why or None,
    }
