"""
What the current unit of work is and how it reads, as a frozen value in a ContextVar.

Threads, coroutines and `sync_to_async` each see the value of the unit of work that
they belong to, and nothing of any other. Every scope sets a new value and puts back
only what it changed.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from shoal.topology.positions import Position
from shoal.types import Alias, ClusterName, Role

Reason: TypeAlias = Literal[
    "transaction",
    "pinned",
    "consistency",
    "own write",
    "no replica",
    "not caught up",
    "any replica",
    "caught up",
]
"""
Why a member was chosen. The primary: a transaction is open there; `pinned()`;
`CONSISTENCY` is "primary"; this unit has written; no replica is well; none has reached
the token. A replica: there was no token; it has reached the token.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """The member of an edition that serves reads, and why it does."""

    alias: Alias
    reason: Reason


@dataclass(eq=False, slots=True)
class OpenWrite:
    """A write inside a transaction, of which nobody knows yet how it ends."""

    connection: Any
    """The driver's connection that it was sent on."""
    hook: Callable[[], None] | None
    """What Django calls after the commit, and drops with a rollback. `None` in a
    transaction that was begun without Django's `atomic()`."""


@dataclass(eq=False, slots=True)
class Unit:
    """
    What a unit of work has done so far.

    The one value here that changes: the tasks of a request (`asyncio.gather`) run in
    contexts of their own, and what one of them has written binds the others.
    """

    begun: bool = True
    """Whether somebody has begun it. Not so in a shell, or between two tasks."""
    members: dict[ClusterName, Choice] = field(default_factory=dict)
    """Who serves this unit's reads, by edition."""
    any_members: dict[ClusterName, Choice] = field(default_factory=dict)
    """Who serves its reads inside `stale()`."""
    tokens: dict[ClusterName, Position] = field(default_factory=dict)
    """The position that its reads must not be behind, by edition."""
    dropped: set[ClusterName] = field(default_factory=set)
    """Editions whose token is of a system that is gone, and goes no further."""
    written: dict[ClusterName, float] = field(default_factory=dict)
    """When it last wrote, by edition that it has not learned the position of since.
    Seconds of the monotonic clock."""
    has_sent_writes: bool = False
    """Whether anything was sent, to any server, that may write."""
    open_writes: dict[ClusterName, OpenWrite] = field(default_factory=dict)
    reasons: dict[ClusterName, Choice] = field(default_factory=dict)
    """The last choice by edition, for whoever wants to know."""
    connections: dict[ClusterName, tuple[object, Any]] = field(default_factory=dict)
    """A thread and its connection to the primary, by edition."""
    source: Any = None
    """The WSGI environment or ASGI scope of the request that this is the unit of."""
    outer: "Unit | None" = None
    """The unit of work that goes on after that request."""
    is_handled: bool = False
    """Whether that request has yet to be answered."""
    carried: Mapping[ClusterName, Position] | None = None
    """The token that the visitor has by now; `None` before it was looked for."""
    was_refused: bool = False
    """Whether a token came that was forged or broken."""
    avoided: set[Alias] = field(default_factory=set)
    """Replicas under which this unit has failed already."""
    after_write: Callable[[], None] | None = None
    """Called after a write that comes when the response has its token already."""


@dataclass(frozen=True, slots=True)
class Context:
    unit: Unit | None = None
    """`None` until something happens outside of any unit that was begun."""
    pins: Mapping[ClusterName, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By edition. True: read from the primary. False: any replica will do, even after
    a write."""
    roles: Mapping[ClusterName, Role] = field(
        default_factory=lambda: MappingProxyType({})
    )
    unguarded: Mapping[Alias, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Aliases on which models that live elsewhere may be written."""
    observer: Any = None
    """What tells positions and health instead of this process's watch, in tests."""


EMPTY = Context()
_context: ContextVar[Context] = ContextVar("shoal", default=EMPTY)

current = _context.get
set_current = _context.set


def current_unit() -> Unit:
    """Return the unit of work; outside of any, one that this context keeps."""
    context = _context.get()
    if context.unit is None:
        context = replace(context, unit=Unit(begun=False))
        _context.set(context)
    assert context.unit is not None
    return context.unit


@contextlib.contextmanager
def unit_of_work() -> Iterator[None]:
    """
    Begin a unit of work: nothing written yet, no replica chosen yet.

    `Middleware` does it for each request. Do it for each task of a worker or each
    round of a long loop, where no request begins one. Roles and pins stay.
    """
    with begin(Unit()):
        yield


@contextlib.contextmanager
def begin(unit: Unit) -> Iterator[Unit]:
    """Let `unit` be the unit of work for a block."""
    before = _context.get().unit
    _context.set(replace(_context.get(), unit=unit))
    try:
        yield unit
    finally:
        _context.set(replace(_context.get(), unit=before))


def choices() -> Mapping[ClusterName, Choice]:
    """
    Return which member served this unit's latest read of each cluster, and why.

    For whoever wants to show it. Empty where nothing was read yet, and without
    clusters that have no replica.
    """
    return dict(current_unit().reasons)
