"""`manage.py shoal deliver`: deliver the messages that were sent with `outbox.send`."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from shoal.cli import arguments, messages
from shoal.cli.screen import Screen
from shoal.cli.stopping import stopped_by_signals
from shoal.errors import OutboxError
from shoal.transactions.outbox import deliver
from shoal.transactions.outbox.asking import drop, revive
from shoal.transactions.outbox.sources import checked, sources
from shoal.transactions.outbox.values import Tally
from shoal.transactions.outbox.watching import Standing
from shoal.types import Alias

EVERY = 1.0
SHORTEST = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="Stay, and deliver what comes."
    )
    parser.add_argument(
        "--every",
        type=float,
        default=EVERY,
        metavar="SECONDS",
        help=f"With --watch: seconds between two looks. Default: {EVERY:g}.",
    )
    parser.add_argument(
        "--database",
        nargs="+",
        action="extend",
        default=[],
        type=arguments.existing_alias,
        metavar="ALIAS",
        help="Deliver what was sent in these only.",
    )
    parser.add_argument(
        "--retry-dead",
        nargs="*",
        metavar="ID",
        help="First let these dead letters, or all, be tried again.",
    )
    parser.add_argument(
        "--drop",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="First delete these messages, dead or not.",
    )


def usage_error(options: Mapping[str, Any]) -> str | None:
    return arguments.wrong_seconds("--every", options["every"], shortest=SHORTEST)


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Deliver; raise `OutboxError` if a message was not, and should have been."""
    chosen = arguments.aliases(options["database"])
    aliases = checked(chosen) if chosen else sources()
    dropped = drop(aliases, options["drop"])
    asked = options["retry_dead"]
    revived = 0 if asked is None else revive(aliases, asked)
    tallies = _watch(aliases, options["every"]) if options["watch"] else None
    tallies = deliver(aliases) if tallies is None else tallies
    if screen.is_json:
        screen.data(_as_json(tallies, dropped=dropped, revived=revived))
    else:
        _show(tallies, screen)
    _judge(tallies)


def _watch(aliases: Sequence[Alias], every: float) -> dict[Alias, Tally]:
    with stopped_by_signals() as stop:
        standing = Standing(aliases, every=every, stop=stop)
        standing.run()
    return standing.tallies


def _as_json(tallies: Mapping[Alias, Tally], **more: int) -> dict[str, Any]:
    return {
        "ok": all(tally.is_well for tally in tallies.values()),
        **more,
        "databases": {alias: tally.as_json() for alias, tally in tallies.items()},
    }


def _show(tallies: Mapping[Alias, Tally], screen: Screen) -> None:
    table = Table("Database", "Delivered", "Failed", "Waiting", "Dead", box=None)
    for alias, tally in tallies.items():
        dead = Text(str(tally.left.dead), style="bold red" if tally.left.dead else "")
        counts = (tally.delivered, tally.failed, tally.left.waiting)
        table.add_row(alias, *map(str, counts), dead)
    screen.out.print(table)
    for alias, tally in tallies.items():
        for topic, count in tally.unheard.items():
            screen.out.print(
                f"{alias}: nobody receives {topic!r} ({count} waiting).",
                soft_wrap=True,
            )
        if tally.error:
            screen.out.print(f"{alias}: {tally.error}", soft_wrap=True)
    left = {alias: tally.left for alias, tally in tallies.items()}
    messages.show_dead(left, screen.out)


def _judge(tallies: Mapping[Alias, Tally]) -> None:
    every = tallies.values()
    counts = {
        "failed": sum(tally.failed for tally in every),
        "without a receiver": sum(sum(tally.unheard.values()) for tally in every),
        "dead": sum(tally.left.dead for tally in every),
    }
    wrong = [f"{count} {word}" for word, count in counts.items() if count]
    lost = [alias for alias, tally in tallies.items() if tally.error]
    if lost:
        wrong.append(f"those in {', '.join(map(repr, lost))}, which cannot be asked")
    if wrong:
        raise OutboxError(
            f"Messages were not delivered: {', '.join(wrong)}.",
            hint="What failed is tried again by the next run, what has no receiver "
            "once an app has one in its receivers.py, dead letters with --retry-dead.",
        )
