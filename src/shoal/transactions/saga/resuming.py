"""
Takes nothing, finishes what crashes and due times have left. For `shoal recover`.

May run any number of times, on any machine, at the same time as others: a run that
another process has is left to it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.db import Error, connections
from django.utils.module_loading import autodiscover_modules

from shoal.errors import SagaTaken
from shoal.routing import pinned, unit_of_work
from shoal.topology.probe.asking import as_line
from shoal.transactions.saga.defining import Saga, known_sagas
from shoal.transactions.saga.looking import due, left
from shoal.transactions.saga.places import (
    Ledger,
    known_aliases,
    opened,
    refuse_transaction,
)
from shoal.transactions.saga.recording import seconds
from shoal.transactions.saga.running import advance
from shoal.transactions.saga.values import Clock, Standing, now
from shoal.types import Alias

MODULE = "sagas"
"""Of an installed app: it defines the app's sagas, or imports what does."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What has become of the runs that were not over, each without its steps."""

    finished: tuple[Standing, ...] = ()
    """Brought to their end by this call."""
    compensated: tuple[Standing, ...] = ()
    """Undone by this call."""
    waiting: tuple[Standing, ...] = ()
    """They go on at their due time."""
    running: tuple[Standing, ...] = ()
    """Another process has them."""
    stuck: tuple[Standing, ...] = ()
    """They need an operator, some from before; `error` says why."""
    unknown: tuple[Standing, ...] = ()
    """No module that was imported defines their saga for the database they are on."""
    down: Mapping[Alias, str] = field(default_factory=dict)
    """The databases that could not be asked, or not to the end, and why."""

    @property
    def is_clean(self) -> bool:
        """Whether nobody need do anything."""
        return not (self.stuck or self.unknown or self.down)


def discover() -> None:
    """Import `sagas.py` of every installed app that has one."""
    autodiscover_modules(MODULE)


def resume(
    *,
    clock: Clock = now,
    aliases: Iterable[Alias] | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Report:
    """
    Run what is due, on every database that has sagas, or on some.

    Each run is a unit of work of its own, and reads from primaries. A database that is
    down does not keep the others waiting: it is among `Report.down`, with why. Where it
    may not go on, it ends after the run at hand, and says nothing of the others.
    """
    discover()
    refuse_transaction("What resumes sagas")
    found: dict[str, list[Standing]] = {}
    down: dict[Alias, str] = {}
    for alias in known_aliases() if aliases is None else aliases:
        try:
            for kind, standing in _resumed(alias, clock, may_go_on):
                found.setdefault(kind, []).append(standing)
        except Error as error:
            down[alias] = as_line(error, connections.settings[alias])
    return Report(
        **{kind: tuple(standings) for kind, standings in found.items()}, down=down
    )


def _resumed(
    alias: Alias, clock: Clock, may_go_on: Callable[[], bool]
) -> Iterator[tuple[str, Standing]]:
    """Run what is due on one database; yield what has ended, and what is left."""
    if not may_go_on():
        return
    with opened(alias) as ledger:
        for standing in _run(ledger, clock, may_go_on):
            if standing.is_over:
                yield standing.state, standing
        if may_go_on():
            for standing in left(ledger):
                yield _kind(standing, alias), standing


def _run(
    ledger: Ledger, clock: Clock, may_go_on: Callable[[], bool]
) -> Iterator[Standing]:
    for standing in due(ledger, seconds(clock())):
        if not may_go_on():
            return
        saga = _saga(standing, ledger.alias)
        if saga is None:
            continue
        _close_old_connections()
        try:
            # Another process has written what its steps are about to read.
            with unit_of_work(), pinned():
                moved = advance(ledger, saga, standing.key, clock)
        except SagaTaken:
            continue
        if moved is not None:
            yield moved.standing()


def _close_old_connections() -> None:
    """
    A step of a process that lives long would find its connection cut.

    Django's own function closes also the one that a `TestCase` has in a transaction.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _saga(standing: Standing, alias: Alias) -> Saga | None:
    saga = known_sagas().get(standing.saga)
    return saga if saga is not None and saga.alias == alias else None


def _kind(standing: Standing, alias: Alias) -> str:
    if standing.state == "stuck":
        return "stuck"
    if _saga(standing, alias) is None:
        return "unknown"
    return "waiting" if standing.is_waiting else "running"
