"""Takes a database, gives what its rows tell of all runs there. Changes nothing."""

from dataclasses import dataclass, field
from typing import Any

from shoal.placement.control import Control
from shoal.transactions.saga.places import Ledger, opened
from shoal.transactions.saga.recording import at
from shoal.transactions.saga.states import ACTIVE
from shoal.transactions.saga.values import Standing
from shoal.types import Alias

_COLUMNS = '"saga", "key", "state", "due", "error", "begun", "changed"'
_MARKS = ", ".join(["%s"] * len(ACTIVE))


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How many runs there are on one database, and which need somebody."""

    alias: Alias
    counts: dict[str, int] = field(default_factory=dict)
    """By state; of those that are active only those that are due."""
    waiting: int = 0
    oldest_waiting: Standing | None = None
    """Of those that go on at a due time the one that was begun first."""
    stuck: tuple[Standing, ...] = ()


def due(ledger: Ledger, now: float) -> list[Standing]:
    """Return the runs that may go on, those first that nobody touched for longest."""
    return _listed(
        ledger,
        f'"state" IN ({_MARKS}) AND ("due" IS NULL OR "due" <= %s) '
        'ORDER BY "changed", "id"',
        *ACTIVE,
        now,
    )


def left(ledger: Ledger) -> list[Standing]:
    """Return the runs that are not over, in the order of their start."""
    states = (*ACTIVE, "stuck")
    return _listed(ledger, f'"state" IN ({_MARKS}, %s) ORDER BY "begun", "id"', *states)


def stuck(ledger: Ledger) -> list[Standing]:
    return _listed(ledger, '"state" = %s ORDER BY "begun", "id"', "stuck")


def overview(alias: Alias) -> Overview:
    """Return what `shoal status` shows; an empty one where there are no tables."""
    with opened(alias) as ledger:
        counted = ledger.asked(_counted) or []
        waits = f'"due" IS NOT NULL AND "state" IN ({_MARKS}) ORDER BY "begun" LIMIT 1'
        oldest = _listed(ledger, waits, *ACTIVE) if counted else []
        needy = stuck(ledger) if counted else []
    return Overview(
        alias=alias,
        counts={state: number for state, waits, number in counted if not waits},
        waiting=sum(number for _, waits, number in counted if waits),
        oldest_waiting=oldest[0] if oldest else None,
        stuck=tuple(needy),
    )


def _counted(there: Control) -> list[tuple[str, bool, int]]:
    sql = (
        'SELECT "state", CASE WHEN "due" IS NULL THEN 0 ELSE 1 END AS "waits", '
        'count(*) FROM "shoal_saga" GROUP BY 1, 2 ORDER BY 1, 2'
    )
    return [(str(state), bool(waits), int(n)) for state, waits, n in there.run(sql)]


def _listed(ledger: Ledger, where: str, *params: Any) -> list[Standing]:
    sql = f'SELECT {_COLUMNS} FROM "shoal_saga" WHERE {where}'
    rows = ledger.asked(lambda there: there.run(sql, *params))
    return [_standing(*row) for row in rows or ()]


def _standing(
    saga: str, key: str, state: Any, due: Any, error: str, begun: Any, changed: Any
) -> Standing:
    """Return what the row of a run tells, without its data and its steps."""
    return Standing(
        saga=saga,
        key=key,
        state=state,
        due=None if due is None else at(due),
        error=error,
        begun=at(begun),
        changed=at(changed),
    )
