"""Shows what would run where. Takes workers that have planned, changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.migrations.migration import Migration
from rich.table import Table

from shoal.cli.migrate.places import acts_on
from shoal.cli.migrate.steps import Ranks, Step, rounds
from shoal.cli.migrate.worker import Worker, step_of
from shoal.cli.screen import Screen
from shoal.types import Alias


def show_plan(
    workers: Sequence[Worker],
    order: Ranks,
    skipped: Mapping[Alias, str],
    screen: Screen,
) -> None:
    found = {step_of(m, back): m for worker in workers for m, back in worker.plan}
    plan = [
        _entry(step, found[step], aliases)
        for step, aliases in rounds({w.alias: w.steps for w in workers}, order)
    ]
    if screen.is_json:
        screen.data({"ok": True, "plan": plan, "skipped": dict(skipped)})
        return
    for alias, reason in skipped.items():
        screen.out.print(f"Left out {alias}: {reason}.", style="dim")
    if not plan:
        screen.out.print(f"Nothing to migrate on {_names([w.alias for w in workers])}.")
        return
    screen.out.print(_table(plan))


def _entry(
    step: Step, migration: Migration, aliases: Sequence[Alias]
) -> dict[str, Any]:
    acting = [alias for alias in aliases if acts_on(migration, alias)]
    return {
        "migration": str(step),
        "backwards": step.backwards,
        "runs_on": acting,
        "recorded_on": [alias for alias in aliases if alias not in acting],
        "operations": [operation.describe() for operation in migration.operations],
    }


def _table(plan: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("Migration", "Changes", "Only recorded on", box=None)
    for entry in plan:
        back = "unapply " if entry["backwards"] else ""
        table.add_row(
            back + entry["migration"],
            _names(entry["runs_on"]),
            _names(entry["recorded_on"]),
        )
    return table


def _names(aliases: Sequence[Alias]) -> str:
    return ", ".join(aliases)
