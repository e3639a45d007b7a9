"""What a run did, where, and how to go on. Takes the progress of all, gives text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from rich.console import Console
from rich.table import Table

from shoal.cli.migrate.steps import Step
from shoal.errors import MigrateError, ShoalError
from shoal.topology.probe.asking import as_line
from shoal.types import Alias


@dataclass(frozen=True, kw_only=True)
class DatabaseReport:
    """What happened on one alias."""

    alias: Alias
    server: str
    done: tuple[Step, ...]
    remaining: tuple[Step, ...]
    """Planned and not done: what the next run would do."""
    failed: Step | None = None
    error: BaseException | None = None
    rolls_back: bool = True
    """Whether a migration that failed has left no trace."""

    def as_json(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "applied": [str(step) for step in self.done if not step.backwards],
            "unapplied": [str(step) for step in self.done if step.backwards],
            "remaining": [str(step) for step in self.remaining],
            "failed": str(self.failed) if self.failed else None,
            "error": said(self.alias, self.error) if self.error else None,
        }


@dataclass(frozen=True, kw_only=True)
class MigrateReport:
    databases: tuple[DatabaseReport, ...]
    skipped: Mapping[Alias, str]
    seconds: float
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        return not self.interrupted and not any(one.error for one in self.databases)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "databases": {one.alias: one.as_json() for one in self.databases},
            "skipped": dict(self.skipped),
            "seconds": round(self.seconds, 3),
        }


def said(alias: Alias, error: BaseException) -> str:
    """Return an error in one line, in the words of the database that raised it."""
    if isinstance(error, ShoalError):
        return str(error).replace("\n", " ")
    text = as_line(error, connections.settings[alias])
    if type(error).__module__.startswith("django.db"):
        return text
    name = type(error).__name__
    return text if text == name else f"{name}: {text}"


def show(report: MigrateReport, console: Console) -> None:
    for alias, reason in report.skipped.items():
        console.print(f"Left out {alias}: {reason}.", style="dim")
    if not report.ok:
        console.print(_table(report))
        return
    count = len({step for one in report.databases for step in one.done})
    names = ", ".join(one.alias for one in report.databases)
    if count:
        console.print(
            f"{_counted(count, 'migration')} through on "
            f"{_counted(len(report.databases), 'database')} ({names}) in "
            f"{report.seconds:.1f} s."
        )
    else:
        console.print(f"Nothing to migrate on {names}.")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _table(report: MigrateReport) -> Table:
    table = Table("Database", "Server", "Done now", "Last of them", "Left", box=None)
    for one in report.databases:
        last = str(one.done[-1]) if one.done else "-"
        counts = str(len(one.done)), str(len(one.remaining))
        table.add_row(one.alias, one.server, counts[0], last, counts[1])
    return table


def failure(report: MigrateReport) -> MigrateError | None:
    """Return the error that a run ends with, if it did not reach its end."""
    failed = [one for one in report.databases if one.error]
    if not failed:
        return _interruption(report) if report.interrupted else None
    facts = _facts(failed)
    message = (
        facts[0]
        if len(facts) == 1
        else f"{len(failed)} databases failed:" + "".join(f"\n- {f}" for f in facts)
    )
    hint = "Mend the cause and run the same again: it goes on where this run stopped."
    traces = [repr(one.alias) for one in failed if one.failed and not one.rolls_back]
    if traces:
        hint += (
            f" First look at the tables on {', '.join(traces)}: there, what a "
            "migration did before it failed stays done."
        )
    error = MigrateError(message, hint=hint)
    error.__cause__ = failed[0].error
    return error


def _facts(failed: Sequence[DatabaseReport]) -> list[str]:
    """Return what happened, once for those that one error kept from their commit."""
    together: dict[int, list[DatabaseReport]] = {}
    for one in failed:
        together.setdefault(id(one.error), []).append(one)
    return [_fact(*those) for those in together.values()]


def _fact(one: DatabaseReport, *others: DatabaseReport) -> str:
    assert one.error is not None
    what = f"{one.failed} failed" if one.failed else "Migrating failed"
    where = ", ".join(repr(each.alias) for each in (one, *others))
    ending = ", which commit together" if others else ""
    return f"{what} on {where}{ending}: {said(one.alias, one.error).rstrip('.')}."


def _interruption(report: MigrateReport) -> MigrateError:
    left = {step for one in report.databases for step in one.remaining}
    return MigrateError(
        f"Interrupted, with {_counted(len(left), 'migration')} to go; each one begun "
        "is through on all of its databases.",
        hint="Run the same again: it goes on where this run stopped.",
    )
