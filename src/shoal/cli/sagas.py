"""Takes what the servers say, gives the sagas that are on them, for people and JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DatabaseError, connections
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal.cli.findings import counted
from shoal.topology.probe import ServerFacts
from shoal.topology.probe.asking import is_missing_file
from shoal.transactions.saga import Overview, Standing, discover, overview
from shoal.transactions.saga.places import known_aliases
from shoal.types import Alias

_SHOWN = 20


def look_at_sagas(facts: Mapping[Alias, ServerFacts]) -> tuple[Overview, ...]:
    """Ask each database that has sagas; never raises for one of them."""
    discover()
    return tuple(
        found
        for alias in known_aliases()
        if alias in facts and facts[alias].reachable
        for found in _overview(alias)
        if found.counts or found.waiting
    )


def _overview(alias: Alias) -> tuple[Overview, ...]:
    if is_missing_file(connections[alias]):
        return ()
    try:
        return (overview(alias),)
    except DatabaseError:
        # What is wrong with the server is said elsewhere.
        return ()


def as_json(sagas: Sequence[Overview]) -> list[dict[str, Any]]:
    return [
        {
            "alias": found.alias,
            "counts": {**found.counts, "waiting": found.waiting},
            "oldest_waiting": found.oldest_waiting
            and run_as_json(found.oldest_waiting),
            "stuck": [run_as_json(standing) for standing in found.stuck],
        }
        for found in sagas
    ]


def run_as_json(standing: Standing) -> dict[str, Any]:
    return {
        "name": standing.name,
        "state": standing.state,
        "begun": standing.begun.isoformat(),
        "due": standing.due and standing.due.isoformat(),
        "error": standing.error or None,
    }


def show(sagas: Sequence[Overview], console: Console) -> None:
    """Show nothing where there are none."""
    if not sagas:
        return
    table = Table("Sagas in", "Runs", "Oldest waiting", box=None)
    for found in sagas:
        table.add_row(found.alias, _runs(found), _waiting(found.oldest_waiting))
    console.print(table)
    console.print()
    for found in sagas:
        _show_stuck(found, console)


def _runs(found: Overview) -> str:
    counts = {**found.counts, "waiting": found.waiting}
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number)


def _waiting(standing: Standing | None) -> str:
    if standing is None or standing.due is None:
        return "-"
    return (
        f"{standing.name}, since {standing.begun:%Y-%m-%d %H:%M} UTC, "
        f"due {standing.due:%Y-%m-%d %H:%M} UTC"
    )


def _show_stuck(found: Overview, console: Console) -> None:
    for standing in found.stuck[:_SHOWN]:
        console.print(Text(f"{standing.name} is stuck: ", style="bold red"), end="")
        console.print(standing.error)
    left = len(found.stuck) - _SHOWN
    if left > 0:
        console.print(f"{counted(left, 'more run')} in {found.alias!r} stuck.")
    if found.stuck:
        console.print()
