"""
Takes nothing, finishes what crashes and due times have left. For `shoal recover`.

May run any number of times, on any machine, at the same time as others: a run that
another process has is left to it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connections
from django.utils.module_loading import autodiscover_modules

from shoal.errors import SagaTaken
from shoal.routing import pinned, unit_of_work
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

    @property
    def is_clean(self) -> bool:
        """Whether nobody need do anything."""
        return not (self.stuck or self.unknown)


def discover() -> None:
    """Import `sagas.py` of every installed app that has one."""
    autodiscover_modules(MODULE)


def resume(*, clock: Clock = now, aliases: Iterable[Alias] | None = None) -> Report:
    """
    Run what is due, on every database that has sagas, or on some.

    Each run is a unit of work of its own, and reads from primaries.

    Raises what a database raises that cannot be asked: what was done by then is
    recorded.
    """
    discover()
    refuse_transaction("What resumes sagas")
    found: dict[str, list[Standing]] = {}
    for alias in known_aliases() if aliases is None else aliases:
        with opened(alias) as ledger:
            for standing in _run(ledger, clock):
                if standing.is_over:
                    found.setdefault(standing.state, []).append(standing)
            for standing in left(ledger):
                found.setdefault(_kind(standing, alias), []).append(standing)
    return Report(**{kind: tuple(standings) for kind, standings in found.items()})


def _run(ledger: Ledger, clock: Clock) -> Iterator[Standing]:
    for standing in due(ledger, seconds(clock())):
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
