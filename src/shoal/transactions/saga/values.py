"""What a step is given, and what is told of a run. Frozen; data stays out of `repr`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from shoal.transactions.saga.states import OVER, RunState, StepState

StepFunction: TypeAlias = Callable[["Run"], Any]


class Clock(Protocol):
    """Says what time it is, with a time zone."""

    def __call__(self) -> datetime: ...


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a step, or a compensation, is called with."""

    saga: str
    saga_key: str
    """What the run was started with: `order-17`."""
    step: str
    key: str
    """
    The idempotency key of this step: the same on each attempt, and of no other step.

    A compensation has one of its own.
    """
    attempt: int
    """1 for the first time; grows with crashes and `Retry`, too."""
    data: Any = field(repr=False)
    """What was given at the start, after a way through JSON."""
    results: Mapping[str, Any] = field(repr=False)
    """What the steps that are done have returned, by name."""
    begun: datetime
    """When the run was started."""
    error: str = field(default="", repr=False)
    """In a compensation: why."""

    def key_of(self, step: str) -> str:
        """
        Return the idempotency key that a step of this run has, or had.

        For a compensation that has to look up what its step did before it failed.
        """
        return step_key(self.saga, self.saga_key, step)


def step_key(saga: str, key: str, step: str, *, compensates: bool = False) -> str:
    end = "/compensate" if compensates else ""
    return f"{saga}/{key}/{step}{end}"


@dataclass(frozen=True, kw_only=True)
class StepStanding:
    name: str
    state: StepState
    attempt: int
    """How often it was begun; counted anew for the compensation."""
    error: str = field(default="", repr=False)
    """Of the last attempt that failed, shortened."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands."""

    saga: str
    key: str
    state: RunState
    due: datetime | None = None
    """It goes on then, and not before; `None`: at once, or never."""
    error: str = field(default="", repr=False)
    """Why it is compensated, or stuck; shortened."""
    data: Any = field(default=None, repr=False)
    results: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    """What the steps that are done have returned, by name."""
    steps: tuple[StepStanding, ...] = ()
    """In the order in which they were begun."""
    begun: datetime
    changed: datetime

    @property
    def name(self) -> str:
        """The run among those of all sagas: `booking/order-17`."""
        return f"{self.saga}/{self.key}"

    @property
    def is_over(self) -> bool:
        """Whether nothing happens any more, and nobody need do anything."""
        return self.state in OVER

    @property
    def is_finished(self) -> bool:
        """Whether every step is done."""
        return self.state == "finished"

    @property
    def is_waiting(self) -> bool:
        """Whether it goes on by itself at its due time."""
        return self.due is not None
