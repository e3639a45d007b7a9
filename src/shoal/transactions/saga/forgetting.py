"""
Takes an age, deletes the runs that have been over for longer, with all their rows.

Whoever starts one of them again under its key begins a new run.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain

from shoal.placement.control import Control
from shoal.transactions.saga.defining import known_sagas
from shoal.transactions.saga.marking import mark_of
from shoal.transactions.saga.places import Ledger, known_aliases, opened
from shoal.transactions.saga.recording import seconds
from shoal.transactions.saga.resuming import discover
from shoal.transactions.saga.states import OVER
from shoal.transactions.saga.values import Clock, now
from shoal.types import Alias

AT_ONCE = 500
"""Runs of one transaction."""


def forget(older_than: timedelta, *, clock: Clock = now) -> int:
    """
    Delete the runs that have been over for longer than that; return how many.

    Not those whose saga is not defined any more: who knows where they have left marks?
    """
    discover()
    before = seconds(clock()) - older_than.total_seconds()
    return sum(_forget_on(alias, before) for alias in known_aliases())


def _forget_on(alias: Alias, before: float) -> int:
    sagas = [s.name for s in known_sagas().values() if s.alias == alias]
    count = 0
    with opened(alias) as ledger:
        for saga in sagas:
            while runs := _some(ledger, saga, before):
                _forget_marks(saga, [token for _, token in runs])
                with ledger.open() as there, there.transaction():
                    _delete(there, "shoal_saga_step", "run", [id for id, _ in runs])
                    _delete(there, "shoal_saga", "id", [id for id, _ in runs])
                count += len(runs)
    return count


def _some(ledger: Ledger, saga: str, before: float) -> list[tuple[int, str]]:
    states = sorted(OVER)
    sql = (
        'SELECT "id", "token" FROM "shoal_saga" '
        f'WHERE "state" IN ({", ".join(["%s"] * len(states))}) AND "saga" = %s '
        f'AND "changed" <= %s ORDER BY "id" LIMIT {AT_ONCE}'
    )
    rows = ledger.asked(lambda there: there.run(sql, *states, saga, before))
    return [(int(id), str(token)) for id, token in rows or ()]


def _forget_marks(saga: str, tokens: Iterable[str]) -> None:
    """Delete what the steps of these runs have left on their clusters."""
    steps = known_sagas()[saga].steps.values()
    for cluster in {step.cluster for step in steps if step.cluster is not None}:
        names = [step.name for step in steps if step.cluster == cluster]
        marks = [
            (mark_of(token, name), mark_of(token, name, compensates=True))
            for token in tokens
            for name in names
        ]
        with opened(cluster) as ledger:
            if not ledger.lacks_tables():
                with ledger.open() as there, there.transaction():
                    _delete(there, "shoal_saga_mark", "mark", [*chain(*marks)])


def _delete(there: Control, table: str, column: str, values: list[str | int]) -> None:
    for first in range(0, len(values), AT_ONCE):
        some = values[first : first + AT_ONCE]
        places = ", ".join(["%s"] * len(some))
        there.run(f'DELETE FROM "{table}" WHERE "{column}" IN ({places})', *some)
