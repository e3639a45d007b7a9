"""Takes databases, gives how many messages wait in each, and which are dead letters."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import Error
from rich.console import Console
from rich.table import Table

from shoal.cli import amounts
from shoal.errors import ShoalError
from shoal.transactions.outbox.box import SHOWN, opened
from shoal.transactions.outbox.values import Waiting
from shoal.types import Alias


def look(aliases: Iterable[Alias]) -> dict[Alias, Waiting]:
    """Ask databases that answer; one without the tables, or rights, is left out."""
    found = {}
    for alias in aliases:
        try:
            with opened(alias) as box:
                if box is not None and box.is_there():
                    found[alias] = box.waiting()
        except (Error, ShoalError):
            continue
    return found


def as_json(found: Mapping[Alias, Waiting]) -> dict[str, Any]:
    return {alias: waiting.as_json() for alias, waiting in found.items()}


def show(found: Mapping[Alias, Waiting], console: Console) -> None:
    """Print what waits and what is dead; nothing if there is nothing."""
    some = {a: one for a, one in found.items() if one.waiting or one.dead}
    if not some:
        return
    table = Table("Messages in", "Waiting", "Oldest", "Dead", box=None)
    for alias, one in some.items():
        oldest = "-" if one.oldest is None else amounts.duration(one.oldest)
        table.add_row(alias, str(one.waiting), oldest, str(one.dead))
    console.print(table)
    show_dead(some, console)
    console.print()


def show_dead(found: Mapping[Alias, Waiting], console: Console) -> None:
    for alias, one in found.items():
        for letter in one.dead_letters:
            key = f", key {letter.key!r}" if letter.key is not None else ""
            console.print(
                f"Dead: {letter.id} {letter.topic!r}{key} in {alias}, after "
                f"{letter.attempts} attempts: {letter.error}",
                soft_wrap=True,
            )
        if one.dead > SHOWN:
            console.print(f"And {one.dead - SHOWN} more in {alias}.")
