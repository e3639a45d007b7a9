"""
Takes the names of runs that need an operator, lets them go on or be.

A name is what `status` shows: `booking/order-17`.
"""

from collections.abc import Callable, Iterable

from django.db import Error

from shoal.errors import UnknownSaga, did_you_mean
from shoal.transactions.saga.locking import locked
from shoal.transactions.saga.looking import stuck
from shoal.transactions.saga.places import known_aliases, opened
from shoal.transactions.saga.recording import RunRecord, Turn, read, seconds
from shoal.transactions.saga.resuming import discover
from shoal.transactions.saga.states import RunState
from shoal.transactions.saga.values import Clock, Standing, now
from shoal.types import Alias


def retry(
    names: Iterable[str] | None = None, *, clock: Clock = now
) -> tuple[Standing, ...]:
    """
    Let stuck runs go on where they stopped, those of these names or all.

    `resume` then runs them; each step has its retries again. Raises `UnknownSaga` for
    a name that no stuck run has, before any goes on.
    """
    return _each(names, _direction, clock)


def settle(names: Iterable[str], *, clock: Clock = now) -> tuple[Standing, ...]:
    """
    Say that an operator has seen to stuck runs: nothing is done for them any more.

    Raises `UnknownSaga` for a name that no stuck run has.
    """
    return _each(names, lambda run: "settled", clock)


def _direction(run: RunRecord) -> RunState:
    """Return which way a stuck run was going."""
    goes_back = {"failed", "compensating", "compensated", "kept"}
    is_back = any(step.state in goes_back for step in run.steps)
    return "compensating" if is_back else "running"


def _each(
    names: Iterable[str] | None, to: Callable[[RunRecord], RunState], clock: Clock
) -> tuple[Standing, ...]:
    discover()
    found: dict[tuple[Alias, str], Standing] = {}
    away = []
    for alias in known_aliases():
        try:
            found |= {(alias, one.name): one for one in _stuck_on(alias)}
        except Error:
            # Resuming says what is wrong there, and others go on.
            away.append(alias)
    there = {name for _, name in found}
    chosen = [names] if isinstance(names, str) else names
    wanted = there if chosen is None else set(chosen)
    for name in sorted(wanted - there):
        fact = f" {', '.join(map(repr, away))} could not be asked." if away else ""
        raise UnknownSaga(
            f"No run that is stuck is named {name!r}.{fact}",
            hint=did_you_mean(name, there),
        )
    moves = [
        _moved(alias, standing, to, clock)
        for (alias, name), standing in found.items()
        if name in wanted
    ]
    return tuple(standing for standing in moves if standing is not None)


def _stuck_on(alias: Alias) -> list[Standing]:
    with opened(alias) as ledger:
        return stuck(ledger)


def _moved(
    alias: Alias, standing: Standing, to: Callable[[RunRecord], RunState], clock: Clock
) -> Standing | None:
    """Let a run be what an operator wants, unless somebody was faster."""
    saga, key = standing.saga, standing.key
    with opened(alias) as ledger, locked(ledger, saga, key) as is_ours:
        with ledger.open() as there:
            run = read(there, saga, key)
        if not is_ours or run is None or run.state != "stuck":
            return None
        turn = Turn(ledger, run)
        turn.go_on(to(turn.run), seconds(clock()))
        return turn.run.standing()
