"""
What the current unit of work has decided so far, as one frozen value in a ContextVar.

Threads, coroutines and `sync_to_async` each see the value of the unit of work that
they belong to, and nothing of any other. Every change sets a new value; every scope
puts back only what it changed, so that what was decided inside it stays decided.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from shoal.types import Alias, ClusterName, Role

EVERY_CLUSTER = "*"


@dataclass(frozen=True, slots=True)
class Context:
    members: Mapping[ClusterName, Alias] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The replica that serves this unit's reads, by edition."""
    written: frozenset[ClusterName] = frozenset()
    """Editions that this unit has written to."""
    pins: Mapping[ClusterName, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """True: read from the primary. False: any replica will do, even after a write."""
    roles: Mapping[ClusterName, Role] = field(
        default_factory=lambda: MappingProxyType({})
    )
    unguarded: Mapping[Alias, bool] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Aliases on which models that live elsewhere may be written."""

    def pin_of(self, cluster: ClusterName, edition: ClusterName) -> bool | None:
        for name in (edition, cluster, EVERY_CLUSTER):
            if name in self.pins:
                return self.pins[name]
        return None


EMPTY = Context()
_context: ContextVar[Context] = ContextVar("shoal", default=EMPTY)

current = _context.get
set_current = _context.set


def remember_member(edition: ClusterName, alias: Alias) -> None:
    context = _context.get()
    members = MappingProxyType({**context.members, edition: alias})
    _context.set(replace(context, members=members))


def remember_write(edition: ClusterName) -> None:
    context = _context.get()
    if edition not in context.written:
        _context.set(replace(context, written=context.written | {edition}))


@contextlib.contextmanager
def unit_of_work() -> Iterator[None]:
    """
    Begin a unit of work: nothing written yet, no replica chosen yet.

    `Middleware` does it for each request. Do it for each task of a worker or each
    round of a long loop, where no request begins one. Roles and pins stay.
    """
    before = _context.get()
    _context.set(replace(before, members=EMPTY.members, written=EMPTY.written))
    try:
        yield
    finally:
        after = _context.get()
        _context.set(replace(after, members=before.members, written=before.written))
