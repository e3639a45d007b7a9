"""
Takes a saga and a key, runs what is next of it until it is over or has to wait.

Each step is recorded before it runs. The events of this module's log are the points
between which a process may be killed.
"""

import logging
import random
import secrets
from typing import Any

from django.db import DatabaseError

from shoal.errors import DeclarationError, SagaConflict, SagaDataError
from shoal.transactions.calling import call
from shoal.transactions.saga import recording
from shoal.transactions.saga.answers import Fail, Retry
from shoal.transactions.saga.deciding import Action, delay, next_action
from shoal.transactions.saga.defining import Saga, Step
from shoal.transactions.saga.jsons import as_key, dumped, loaded, shortened
from shoal.transactions.saga.locking import locked
from shoal.transactions.saga.marking import mark_of, once
from shoal.transactions.saga.places import (
    Ledger,
    opened,
    refuse_transaction,
    require_plain,
)
from shoal.transactions.saga.recording import RunRecord, Turn, read, seconds
from shoal.transactions.saga.states import ACTIVE
from shoal.transactions.saga.values import Clock, Run, Standing, step_key

logger = logging.getLogger("shoal.transactions.saga")

LONGEST_WAIT = 100 * 365 * 86400.0
"""Seconds. No calendar ends before that, which `datetime` does in the year 9999."""


def start(saga: Saga, key: Any, data: Any) -> Standing:
    key = as_key(key)
    name = f"{saga.name}/{key}"
    text = dumped({} if data is None else data, f"The data of {name!r}")
    refuse_transaction(f"The saga {name!r}")
    _require_sound(saga)
    with opened(saga.alias) as ledger:
        found, is_new = _begun(ledger, saga, key, text)
        if found.data != text:
            raise SagaConflict(
                f"The run {name!r} was started before, with other data.",
                hint="Use a key that stands for one piece of work only.",
            )
        if is_new:
            tell(logging.INFO, "saga_begun", saga.name, key)
        moved = advance(ledger, saga, key, saga.clock)
        if moved is None:
            with ledger.open() as there:
                moved = read(there, saga.name, key)
        return (moved or found).standing()


def look(saga: Saga, key: Any) -> Standing | None:
    text = as_key(key)
    with opened(saga.alias) as ledger:
        found = ledger.asked(lambda there: read(there, saga.name, text))
    return None if found is None else found.standing()


def _require_sound(saga: Saga) -> None:
    if not saga.steps:
        raise DeclarationError(
            f"The saga {saga.name!r} has no steps.",
            hint=f"Decorate functions of {saga.module} with @saga.step.",
        )
    for step in saga.steps.values():
        if step.cluster is not None:
            what = f"The step {step.name!r} of the saga {saga.name!r}"
            require_plain(step.cluster, what)


def _begun(ledger: Ledger, saga: Saga, key: str, data: str) -> tuple[RunRecord, bool]:
    """Return the run with this key, made if there was none, and whether it was."""
    now = seconds(saga.now())
    new = RunRecord(
        id=0,
        saga=saga.name,
        key=key,
        token=secrets.token_hex(16),
        state="running",
        due=None,
        turn=0,
        data=data,
        error="",
        begun=now,
        changed=now,
    )
    if not ledger.is_apart:
        # In a transaction of the test's, a statement that fails may end it.
        ledger.create_tables()
    try:
        found = _added(ledger, new)
    except DatabaseError:
        # Unless somebody else has made them just now.
        ledger.create_tables()
        found = _added(ledger, new)
    return found, found.token == new.token


def _added(ledger: Ledger, new: RunRecord) -> RunRecord:
    with ledger.open() as there:
        found = read(there, new.saga, new.key)
        if found is None:
            recording.add(there, new)
            found = read(there, new.saga, new.key)
    return found or new


def advance(ledger: Ledger, saga: Saga, key: str, clock: Clock) -> RunRecord | None:
    """
    Run what is due of a run; return where it stands then.

    Returns `None` if another process has it, or it is over. A run that was lost
    meanwhile raises `SagaTaken`, or the error of its server.
    """
    with locked(ledger, saga.name, key) as is_ours:
        if not is_ours:
            return None
        with ledger.open() as there:
            found = read(there, saga.name, key)
        if found is None or found.state not in ACTIVE:
            return None
        return _Running(saga, Turn(ledger, found), clock).go()


class _Running:
    """A run that this process has taken."""

    def __init__(self, saga: Saga, turn: Turn, clock: Clock) -> None:
        self.saga, self.turn, self.clock = saga, turn, clock

    def now(self) -> float:
        return seconds(self.clock())

    def go(self) -> RunRecord:
        while self.turn.run.state in ACTIVE:
            due = self.turn.run.due
            if due is not None and due > self.now():
                break
            run = self.turn.run
            self._act(next_action(run.state, run.steps, self.saga.defined))
        return self.turn.run

    def _act(self, action: Action) -> None:
        match action.kind:
            case "do":
                self._do(self.saga.steps[action.step])
            case "undo":
                self._undo(self.saga.steps[action.step])
            case "keep":
                self.turn.keep(action.step, self.now())
            case "finish":
                self.turn.end("finished", self.now())
                self._tell(logging.INFO, "saga_finished")
            case "end":
                self.turn.end("compensated", self.now())
                self._tell(logging.WARNING, "saga_compensated")
            case "get_stuck":
                self.turn.get_stuck(action.fact, self.now())
                self._tell(logging.ERROR, "saga_stuck")

    def _do(self, step: Step) -> None:
        name, has_compensation = step.name, step.compensation is not None
        recorded = self.turn.begin(name, self.now(), has_compensation=has_compensation)
        self._tell(logging.DEBUG, "step_begun", step, recorded.attempt)
        try:
            result = self._call(step, self._run(step, recorded.attempt))
        except Retry as answer:
            self._wait(step, answer.after, shortened(answer), failed=False)
        except Exception as error:
            self._step_failed(step, error)
        else:
            self._tell(logging.DEBUG, "step_returned", step)
            self.turn.done(name, result, self.now())
            self._tell(logging.DEBUG, "step_done", step)

    def _undo(self, step: Step) -> None:
        recorded = self.turn.begin_compensation(step.name, self.now())
        self._tell(logging.DEBUG, "compensation_begun", step, recorded.attempt)
        run = self._run(step, recorded.attempt, compensates=True)
        try:
            self._call(step, run, compensates=True)
        except Retry as answer:
            self._wait(step, answer.after, shortened(answer), failed=False)
        except Exception as error:
            self._compensation_failed(step, error)
        else:
            self._tell(logging.DEBUG, "compensation_returned", step)
            self.turn.compensated(step.name, self.now())
            self._tell(logging.DEBUG, "compensation_done", step)

    def _run(self, step: Step, attempt: int, *, compensates: bool = False) -> Run:
        run = self.turn.run
        return Run(
            saga=run.saga,
            saga_key=run.key,
            step=step.name,
            key=step_key(run.saga, run.key, step.name, compensates=compensates),
            attempt=attempt,
            # Each step gets its own: what one changes, no other sees.
            data=loaded(run.data),
            results=run.results,
            begun=recording.at(run.begun),
            error=run.error,
        )

    def _call(self, step: Step, run: Run, *, compensates: bool = False) -> str:
        """Return what a function returns as JSON, with its writes committed."""
        function = step.compensation if compensates else step.function
        assert function is not None

        def called() -> str:
            return dumped(call(function, run), f"What {run.key!r} returns")

        if step.cluster is None:
            return called()
        token = self.turn.run.token
        mark = mark_of(token, step.name, compensates=compensates)
        closes = mark_of(token, step.name) if compensates else None
        return once(step.cluster, mark, called, self.now(), closes=closes)

    def _step_failed(self, step: Step, error: Exception) -> None:
        text = shortened(error)
        failures = self.turn.recorded(step.name).failures + 1
        if _is_final(error) or failures > step.attempts.retries:
            self.turn.fail(step.name, self.now(), text)
            self._tell(logging.WARNING, "step_failed", step, error=error)
        else:
            after = delay(failures, step.attempts.backoff, random.random())
            self._wait(step, after, text, failed=True, error=error)

    def _compensation_failed(self, step: Step, error: Exception) -> None:
        text = shortened(error)
        failures = self.turn.recorded(step.name).failures + 1
        attempts = step.compensation_attempts
        assert attempts is not None
        if isinstance(error, Fail) or failures > attempts.retries:
            fact = f"The compensation of {step.name!r} failed. {text}"
            self.turn.get_stuck(fact, self.now(), step.name, text)
            self._tell(logging.ERROR, "saga_stuck", step, error=error)
        else:
            after = delay(failures, attempts.backoff, random.random())
            self._wait(step, after, text, failed=True, error=error)

    def _wait(
        self,
        step: Step,
        after: float,
        text: str,
        *,
        failed: bool,
        error: Exception | None = None,
    ) -> None:
        now = self.now()
        due = round(now + min(LONGEST_WAIT, after), 3)
        self.turn.postpone(step.name, due, now, text, failed=failed)
        level = logging.WARNING if failed else logging.DEBUG
        self._tell(level, "step_waits", step, error=error)

    def _tell(
        self,
        level: int,
        event: str,
        step: Step | None = None,
        attempt: int | None = None,
        error: Exception | None = None,
    ) -> None:
        more = {"step": step.name} if step else {}
        if error is not None:
            # Its text may have data in it.
            more["error"] = type(error).__name__
        tell(level, event, self.saga.name, self.turn.run.key, attempt=attempt, **more)


def _is_final(error: Exception) -> bool:
    """Say whether it would be the same the next time."""
    return isinstance(error, Fail | SagaDataError)


def tell(level: int, event: str, saga: str, key: str, **more: Any) -> None:
    fields = {"event": event, "saga": saga, "key": key, **more}
    logger.log(level, event.replace("_", " "), extra=fields)
