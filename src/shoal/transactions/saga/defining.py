"""
Takes functions, gives a saga: steps in their order, each with its compensation.

May be used before the apps are ready: what runs sagas is imported when one is started.
"""

import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from asgiref.sync import sync_to_async

from shoal.errors import DeclarationError
from shoal.transactions.saga import answers
from shoal.transactions.saga.deciding import Defined
from shoal.transactions.saga.values import Clock, Standing, StepFunction, now
from shoal.types import Alias, ClusterName

if TYPE_CHECKING:
    from uuid import UUID

    SagaKey: TypeAlias = str | int | UUID

_NAME = re.compile(r"[\w.-]{1,100}")
_registry: dict[str, "Saga"] = {}
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often something is tried again, and after how long."""

    retries: int
    backoff: float
    """Seconds before the first retry."""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.backoff < 0:
            raise DeclarationError(
                f"A step cannot have retries={self.retries!r} and "
                f"backoff={self.backoff!r}.",
                hint="Give numbers from 0 on; the backoff is in seconds.",
            )


@dataclass(kw_only=True, eq=False)
class Step:
    """A step of a saga; called, it is its function."""

    saga: "Saga" = field(repr=False)
    name: str
    function: StepFunction = field(repr=False)
    attempts: Attempts
    cluster: ClusterName | None
    """Its writes there and the record that it is done are one transaction."""
    compensation: StepFunction | None = field(default=None, repr=False)
    compensation_attempts: Attempts | None = None

    def __call__(self, run: Any) -> Any:
        return self.function(run)

    @overload
    def compensate(self, function: StepFunction, /) -> StepFunction: ...

    @overload
    def compensate(
        self, *, retries: int = 10, backoff: float = 1.0
    ) -> Callable[[StepFunction], StepFunction]: ...

    def compensate(
        self,
        function: StepFunction | None = None,
        *,
        retries: int = 10,
        backoff: float = 1.0,
    ) -> StepFunction | Callable[[StepFunction], StepFunction]:
        """
        Register what undoes this step. A decorator.

        It may be called for a step that failed midway, or did nothing at all, and more
        than once: it has to look at what there is to undo.
        """
        attempts = Attempts(retries=retries, backoff=backoff)

        def register(function: StepFunction) -> StepFunction:
            if self.compensation is not None:
                raise DeclarationError(
                    f"The step {self.name!r} of the saga {self.saga.name!r} has two "
                    "compensations.",
                    hint="Let one function do both.",
                )
            self.compensation, self.compensation_attempts = function, attempts
            return function

        return register if function is None else register(function)

    @property
    def defined(self) -> Defined:
        return Defined(name=self.name, has_compensation=self.compensation is not None)


class Saga:
    """
    Steps that are each recorded before they run, and undone in reverse if one fails.

    Made at module level, under a name that no other saga of the project has.
    """

    Fail = answers.Fail
    Retry = answers.Retry

    def __init__(
        self, name: str, *, using: Alias | None = None, clock: Clock = now
    ) -> None:
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"A saga cannot be named {name!r}.",
                hint="Use up to 100 letters, digits, '_', '-' and '.'.",
            )
        self.name = name
        self.using = using
        """The alias that its runs are recorded on; `None`: see `alias`."""
        self.clock = clock
        self.steps: dict[str, Step] = {}
        frame = sys._getframe(1)
        self.module = str(frame.f_globals.get("__name__", ""))
        self.line = frame.f_lineno
        _register(self)

    def __repr__(self) -> str:
        return f"<Saga {self.name!r}: {', '.join(self.steps) or 'no steps'}>"

    @property
    def place(self) -> str:
        """Where it is defined."""
        return f"{self.module}, line {self.line}"

    @property
    def alias(self) -> Alias:
        """The alias that its runs are recorded on, or `SettingsError`."""
        from shoal.transactions.saga.places import alias_for

        return alias_for(self.using, self.name)

    @overload
    def step(self, function: StepFunction, /) -> Step: ...

    @overload
    def step(
        self,
        *,
        name: str | None = None,
        retries: int = 3,
        backoff: float = 1.0,
        cluster: ClusterName | None = None,
    ) -> Callable[[StepFunction], Step]: ...

    def step(
        self,
        function: StepFunction | None = None,
        *,
        name: str | None = None,
        retries: int = 3,
        backoff: float = 1.0,
        cluster: ClusterName | None = None,
    ) -> Step | Callable[[StepFunction], Step]:
        """
        Add a step after those that are there. A decorator.

        Its name is the function's, and is recorded: runs that are under way know the
        step by it.
        """
        attempts = Attempts(retries=retries, backoff=backoff)

        def add(function: StepFunction) -> Step:
            title = name or function.__name__
            self._require_new(title)
            self.steps[title] = Step(
                saga=self,
                name=title,
                function=function,
                attempts=attempts,
                cluster=cluster,
            )
            return self.steps[title]

        return add if function is None else add(function)

    def _require_new(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"A step of the saga {self.name!r} cannot be named {name!r}.",
                hint="Use up to 100 letters, digits, '_', '-' and '.'.",
            )
        if name in self.steps:
            raise DeclarationError(
                f"The saga {self.name!r} has two steps that are named {name!r}.",
                hint='Give one of them another: @saga.step(name="...").',
            )

    @property
    def defined(self) -> list[Defined]:
        return [step.defined for step in self.steps.values()]

    def start(self, key: "SagaKey", data: Any = None) -> Standing:
        """
        Run the steps until all are done, one has to wait, or one has failed.

        The same key again is the same run: it is not run twice, goes on if a crash
        stopped it, and its standing is returned. With other data it is refused.
        """
        from shoal.transactions.saga.running import start

        return start(self, key, data)

    async def astart(self, key: "SagaKey", data: Any = None) -> Standing:
        return await sync_to_async(self.start)(key, data)

    def state(self, key: "SagaKey") -> Standing | None:
        """Return where the run stands; `None` if nobody has started it."""
        from shoal.transactions.saga.running import look

        return look(self, key)

    async def astate(self, key: "SagaKey") -> Standing | None:
        return await sync_to_async(self.state)(key)

    def now(self) -> datetime:
        return self.clock()


def _register(saga: Saga) -> None:
    with _lock:
        other = _registry.get(saga.name)
        # A module that is loaded again defines its sagas again.
        if other is not None and other.place != saga.place:
            raise DeclarationError(
                f"Two sagas are named {saga.name!r}: one in {other.place}, one in "
                f"{saga.place}.",
                hint="The name is recorded with each run: give each saga its own.",
            )
        _registry[saga.name] = saga


def known_sagas() -> dict[str, Saga]:
    """Return the sagas of the modules that were imported so far, by name."""
    with _lock:
        return dict(_registry)
