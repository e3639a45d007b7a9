"""
What the current unit of work is and how it reads, as a frozen value in a ContextVar.

Threads, coroutines and `sync_to_async` each see the value of the unit of work that
they belong to, and nothing of any other. Every scope sets a new value and puts back
only what it changed.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from shoal.types import Alias, ClusterName, Role


@dataclass(eq=False, slots=True)
class Unit:
    """
    What a unit of work has done so far.

    The one value here that changes: the tasks of a request (`asyncio.gather`) run in
    contexts of their own, and what one of them has written binds the others.
    """

    members: dict[ClusterName, Alias] = field(default_factory=dict)
    """The replica that serves this unit's reads, by edition."""
    written: set[ClusterName] = field(default_factory=set)
    """Editions that this unit has written to."""


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


EMPTY = Context()
_context: ContextVar[Context] = ContextVar("shoal", default=EMPTY)

current = _context.get
set_current = _context.set


def current_unit() -> Unit:
    """Return the unit of work; outside of any, one that this context keeps."""
    context = _context.get()
    if context.unit is None:
        context = replace(context, unit=Unit())
        _context.set(context)
    assert context.unit is not None
    return context.unit


def remember_write(edition: ClusterName) -> None:
    current_unit().written.add(edition)


@contextlib.contextmanager
def unit_of_work() -> Iterator[None]:
    """
    Begin a unit of work: nothing written yet, no replica chosen yet.

    `Middleware` does it for each request. Do it for each task of a worker or each
    round of a long loop, where no request begins one. Roles and pins stay.
    """
    before = _context.get().unit
    _context.set(replace(_context.get(), unit=Unit()))
    try:
        yield
    finally:
        _context.set(replace(_context.get(), unit=before))
