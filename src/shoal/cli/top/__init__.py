"""`manage.py shoal top`: how far the replicas are, and who reads where, right now."""

import argparse
import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.live import Live

from shoal.cli import arguments
from shoal.cli.screen import Screen
from shoal.cli.top.counting import Counts
from shoal.cli.top.seen import Seen, as_json, table
from shoal.cli.top.shares import Samples, rates
from shoal.errors import ShoalError
from shoal.routing.health import Watch
from shoal.topology import Topology, get_topology

EVERY = 2.0
"""Seconds. A backend of PostgreSQL tells what it has read at most once a second."""
SHORTEST = 0.2
MET_WITHIN = 1.0
"""Seconds for the first answers of all servers together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every",
        type=float,
        default=EVERY,
        metavar="SECONDS",
        help=f"Seconds between two looks. Default: {EVERY:g}.",
    )
    parser.add_argument(
        "--once", action="store_true", help="Print one table after that time, and end."
    )


def usage_error(options: Mapping[str, Any]) -> str | None:
    return arguments.wrong_seconds("--every", options["every"], shortest=SHORTEST)


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Show the servers once or until Ctrl-C. What is wrong with them is no failure."""
    topology = get_topology()
    if not topology.clusters:
        raise ShoalError(
            'SHOAL["CLUSTERS"] lists no clusters, so there is nothing to look at.',
            hint="`manage.py shoal status` shows the databases of the project.",
        )
    every: float = options["every"]
    with _watching(topology) as (watch, counts):
        if screen.is_json:
            screen.data(as_json(_look_once(topology, watch, counts, every)))
        elif options["once"] or not screen.out.file.isatty():
            screen.out.print(table(_look_once(topology, watch, counts, every)))
        else:
            _look_on(topology, watch, counts, every, screen)


@contextlib.contextmanager
def _watching(topology: Topology) -> Iterator[tuple[Watch, Counts]]:
    """Look at all servers, on connections of their own, for the length of a block."""
    counts = Counts()
    watch = Watch(topology.editions(), asker=counts.asker)
    try:
        until = time.monotonic() + MET_WITHIN
        for edition in topology.editions():
            watch.meet(edition, within=max(until - time.monotonic(), 0.0))
        yield watch, counts
    finally:
        watch.stop()


def _look_once(topology: Topology, watch: Watch, counts: Counts, every: float) -> Seen:
    before = dict(counts.samples)
    time.sleep(every)
    return _see(topology, watch, counts, before)


def _look_on(
    topology: Topology, watch: Watch, counts: Counts, every: float, screen: Screen
) -> None:
    before: Samples = {}
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=screen.out, auto_refresh=False) as live,
    ):
        while True:
            seen = _see(topology, watch, counts, before)
            live.update(table(seen), refresh=True)
            before = dict(counts.samples)
            watch.wake()
            time.sleep(every)


def _see(topology: Topology, watch: Watch, counts: Counts, before: Samples) -> Seen:
    return Seen(
        topology=topology,
        health=watch.health,
        names={alias: counts.name(alias) for alias in watch.health},
        rates=rates(before, dict(counts.samples)),
        at=time.time(),
    )
