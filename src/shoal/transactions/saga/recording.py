"""
Takes what happens to a run, writes it down; gives back what was written.

Every change is one transaction, and asks for the turn that the run was taken with: who
has lost a run changes none of its rows.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from shoal.errors import SagaTaken
from shoal.placement.control import Control
from shoal.transactions.lines import in_ascii
from shoal.transactions.saga.deciding import Recorded
from shoal.transactions.saga.jsons import loaded
from shoal.transactions.saga.places import Ledger
from shoal.transactions.saga.states import RunState, StepState, moved, step_moved
from shoal.transactions.saga.values import Standing, StepStanding

_RUN = (
    '"id", "saga", "key", "token", "state", "due", "turn", "data", "error", "begun", '
    '"changed"'
)
_STEP = (
    '"position", "name", "state", "attempt", "ended", "failures", '
    '"has_compensation", "result", "error"'
)
UNLESS_THERE = {
    "mysql": 'ON DUPLICATE KEY UPDATE "id" = "id"',
    "postgresql": "ON CONFLICT DO NOTHING",
    "sqlite": "ON CONFLICT DO NOTHING",
}


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The rows of a run."""

    id: int
    saga: str
    key: str
    token: str
    state: RunState
    due: float | None
    turn: int
    data: str
    error: str
    begun: float
    changed: float
    steps: tuple[Recorded, ...] = ()

    def step(self, name: str) -> Recorded | None:
        return next((step for step in self.steps if step.name == name), None)

    @property
    def results(self) -> dict[str, Any]:
        done = [step for step in self.steps if step.result]
        return {step.name: loaded(step.result) for step in done}

    def standing(self) -> Standing:
        return Standing(
            saga=self.saga,
            key=self.key,
            state=self.state,
            due=None if self.due is None else at(self.due),
            error=self.error,
            data=loaded(self.data),
            results=MappingProxyType(self.results),
            steps=tuple(
                StepStanding(
                    name=step.name,
                    state=step.state,
                    attempt=step.attempt,
                    error=step.error,
                )
                for step in self.steps
            ),
            begun=at(self.begun),
            changed=at(self.changed),
        )


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def seconds(when: datetime) -> float:
    """Return a time as it is recorded: what no server rounds any more."""
    return round(when.timestamp(), 3)


def add(there: Control, run: RunRecord) -> None:
    """Write down a run that begins, unless there is one with its key."""
    columns = _RUN.removeprefix('"id", ')
    sql = (
        f'INSERT INTO "shoal_saga" ({columns}) '
        f"VALUES ({', '.join(['%s'] * 10)}) {UNLESS_THERE[there.vendor]}"
    )
    there.run(
        sql,
        *(run.saga, run.key, run.token, run.state, run.due, run.turn, run.data),
        *(run.error, run.begun, run.changed),
    )


def read(there: Control, saga: str, key: str) -> RunRecord | None:
    sql = f'SELECT {_RUN} FROM "shoal_saga" WHERE "saga" = %s AND "key" = %s'
    for row in there.run(sql, saga, key):
        names = [name.strip(' "') for name in _RUN.split(",")]
        run = dict(zip(names, row, strict=True))
        return RunRecord(**run, steps=_steps(there, run["id"]))
    return None


def _steps(there: Control, run: int) -> tuple[Recorded, ...]:
    sql = f'SELECT {_STEP} FROM "shoal_saga_step" WHERE "run" = %s ORDER BY "position"'
    names = [name.strip(' "') for name in _STEP.split(",")]
    rows = [dict(zip(names, row, strict=True)) for row in there.run(sql, run)]
    return tuple(
        Recorded(**{**row, "has_compensation": bool(row["has_compensation"])})
        for row in rows
    )


def taken(saga: str, key: str) -> SagaTaken:
    return SagaTaken(
        f"The run {f'{saga}/{key}'!r} is not this process's any more: its connection "
        "was lost, and another process has taken it, or its rows were deleted.",
        hint="Nothing to do: it goes on there. Its state says how.",
    )


class Turn:
    """The right to change the rows of a run, until somebody else takes it."""

    def __init__(self, ledger: Ledger, run: RunRecord) -> None:
        self.ledger = ledger
        self.saga, self.key = run.saga, run.key
        with ledger.open() as there, there.transaction():
            sql = 'UPDATE "shoal_saga" SET "turn" = "turn" + 1 WHERE "id" = %s'
            there.change(sql, run.id)
            self.run = self._read(there)

    def _read(self, there: Control) -> RunRecord:
        found = read(there, self.saga, self.key)
        if found is None:
            raise taken(self.saga, self.key)
        return found

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Control]:
        """Write in one transaction, then read what is written."""
        with self.ledger.open() as there, there.transaction():
            yield there
        with self.ledger.open() as there:
            self.run = self._read(there)

    def _change_run(
        self, there: Control, state: RunState, now: float, **more: Any
    ) -> None:
        values = {"state": moved(self.run.state, state), "changed": now, **more}
        columns = ", ".join(f'"{name}" = %s' for name in values)
        sql = (
            f'UPDATE "shoal_saga" SET {columns} '
            'WHERE "id" = %s AND "turn" = %s AND "state" = %s'
        )
        ours = (self.run.id, self.run.turn, self.run.state)
        if there.change(sql, *values.values(), *ours) != 1:
            raise taken(self.run.saga, self.run.key)

    def _change_step(
        self, there: Control, step: Recorded, state: StepState, now: float, **more: Any
    ) -> None:
        values = {"state": step_moved(step.state, state), "changed": now, **more}
        columns = ", ".join(f'"{name}" = %s' for name in values)
        sql = (
            f'UPDATE "shoal_saga_step" SET {columns} '
            'WHERE "run" = %s AND "name" = %s AND "state" = %s'
        )
        if there.change(sql, *values.values(), self.run.id, step.name, step.state) != 1:
            raise taken(self.run.saga, self.run.key)

    def begin(self, name: str, now: float, *, has_compensation: bool) -> Recorded:
        """Write down that a step is about to run, for the first time or again."""
        step = self.run.step(name)
        with self._changing() as there:
            self._change_run(there, "running", now, due=None)
            if step is None:
                self._add_step(there, name, now, has_compensation)
            else:
                self._change_step(there, step, "begun", now, attempt=step.attempt + 1)
        return self.recorded(name)

    def _add_step(
        self, there: Control, name: str, now: float, has_compensation: bool
    ) -> None:
        sql = (
            f'INSERT INTO "shoal_saga_step" ({_STEP}, "run", "changed") '
            f"VALUES ({', '.join(['%s'] * 11)})"
        )
        counted = (1, 0, 0, int(has_compensation))
        place = (len(self.run.steps), name, "begun")
        there.run(sql, *place, *counted, "", "", self.run.id, now)

    def recorded(self, name: str) -> Recorded:
        step = self.run.step(name)
        if step is None:
            raise taken(self.run.saga, self.run.key)
        return step

    def done(self, name: str, result: str, now: float) -> None:
        """Write down what a step has returned."""
        step = self.recorded(name)
        with self._changing() as there:
            self._change_run(there, "running", now, due=None)
            self._change_step(
                there, step, "done", now, result=result, error="", ended=step.ended + 1
            )

    def postpone(
        self, name: str, due: float, now: float, error: str, *, failed: bool
    ) -> None:
        """Write down that a step, or its compensation, is to be tried again."""
        step = self.recorded(name)
        with self._changing() as there:
            self._change_run(there, self.run.state, now, due=due)
            counts = {"ended": step.ended + 1, "failures": step.failures + int(failed)}
            self._change_step(there, step, step.state, now, error=error, **counts)

    def fail(self, name: str, now: float, error: str) -> None:
        """Write down that a step has failed for good, and the run goes back."""
        step = self.recorded(name)
        counts = {"ended": step.ended + 1, "failures": step.failures + 1}
        with self._changing() as there:
            self._change_run(there, "compensating", now, due=None, error=error)
            self._change_step(there, step, "failed", now, error=error, **counts)

    def begin_compensation(self, name: str, now: float) -> Recorded:
        """Write down that a compensation is about to run."""
        step = self.recorded(name)
        counts: dict[str, Any] = {"attempt": step.attempt + 1}
        if step.state != "compensating":
            counts = {"attempt": 1, "ended": 0, "failures": 0}
        with self._changing() as there:
            self._change_run(there, "compensating", now, due=None)
            self._change_step(there, step, "compensating", now, **counts)
        return self.recorded(name)

    def compensated(self, name: str, now: float) -> None:
        step = self.recorded(name)
        with self._changing() as there:
            self._change_run(there, "compensating", now, due=None)
            self._change_step(
                there, step, "compensated", now, error="", ended=step.ended + 1
            )

    def keep(self, name: str, now: float) -> None:
        """Write down that a step has no compensation."""
        with self._changing() as there:
            self._change_run(there, "compensating", now, due=None)
            self._change_step(there, self.recorded(name), "kept", now)

    def end(self, state: RunState, now: float) -> None:
        with self._changing() as there:
            self._change_run(there, state, now, due=None)

    def get_stuck(
        self, fact: str, now: float, step: str | None = None, error: str = ""
    ) -> None:
        """Leave the run to an operator, because of a step's last failure or not."""
        with self._changing() as there:
            self._change_run(there, "stuck", now, due=None, error=in_ascii(fact))
            if step is not None:
                was = self.recorded(step)
                counts = {"ended": was.ended + 1, "failures": was.failures + 1}
                self._change_step(there, was, was.state, now, error=error, **counts)

    def go_on(self, state: RunState, now: float) -> None:
        """Let a stuck run go on, as if nothing had failed or crashed so far."""
        with self._changing() as there:
            self._change_run(there, state, now, due=None)
            sql = (
                'UPDATE "shoal_saga_step" SET "failures" = 0, "ended" = "attempt" '
                'WHERE "run" = %s'
            )
            there.change(sql, self.run.id)
