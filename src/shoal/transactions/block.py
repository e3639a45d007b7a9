"""
`atomic(*clusters)`: a block of work on several databases that all commit, or none.

Takes clusters, lets each of their servers join when it is first touched. A block in a
block is a part of it, with a savepoint on each server.
"""

import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from inspect import isasyncgenfunction, iscoroutinefunction
from types import TracebackType
from typing import Any, TypeVar, overload

from django.db import connections
from django.db.transaction import TransactionManagementError
from django.utils.asyncio import async_unsafe

from shoal.transactions.around import foreign, unit_around
from shoal.transactions.joining import Work
from shoal.transactions.levels import Level
from shoal.transactions.members import aliases_of
from shoal.types import Alias, ClusterName

F = TypeVar("F", bound=Callable[..., Any])


class Entered(threading.local):
    """The blocks that a thread is in by one `Atomic`, which threads may share."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Work, Level]] = []


class Atomic(ContextDecorator):
    """What `atomic()` returns: a context manager, and a decorator."""

    def __init__(
        self,
        clusters: tuple[ClusterName, ...],
        *,
        savepoint: bool,
        durable: bool,
        best_effort: bool,
    ) -> None:
        self.clusters = clusters
        self.savepoint = savepoint
        self.durable = durable
        self.best_effort = best_effort
        self.within: Alias | None = None
        """A shard on which Shoal itself has a block around this one."""
        self._entered = Entered()

    def _recreate_cm(self) -> "Atomic":
        return Atomic(
            self.clusters,
            savepoint=self.savepoint,
            durable=self.durable,
            best_effort=self.best_effort,
        )

    def __call__(self, func: F) -> F:
        if iscoroutinefunction(func) or isasyncgenfunction(func):
            raise TypeError(
                f"atomic() cannot decorate the coroutine function {func.__name__!r}: "
                "Django's transactions are synchronous. Decorate a synchronous one, "
                "and call it by sync_to_async()."
            )
        return super().__call__(func)

    @async_unsafe
    def __enter__(self) -> None:
        aliases = aliases_of(self.clusters)
        members: dict[Alias, Any] = {alias: connections[alias] for alias in aliases}
        work, outer = unit_around(members)
        if self.durable and (work is not None or outer is not None):
            raise RuntimeError(
                "A durable atomic block cannot be nested within another atomic block."
            )
        if work is None:
            # A shard's block is around one database of several, too.
            known = {*members, self.within}
            if outer is not None and (len(members) > 1 or outer not in known):
                raise foreign(outer, members)
            # In a block around one database, it is what Django's own would be there.
            work = Work(best_effort=self.best_effort, inside=outer)
        level = work.enter(members, savepoint=self.savepoint)
        self._entered.blocks.append((work, level))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._entered.blocks:
            raise TransactionManagementError(
                "An atomic block ends in the thread in which it has begun, and this is "
                "another one. A generator with such a block inside has to be closed by "
                "the thread that has iterated over it."
            )
        work, level = self._entered.blocks.pop()
        work.leave(level, error)


@overload
def atomic(clusters: F, /) -> F: ...
@overload
def atomic(
    *clusters: ClusterName,
    savepoint: bool = ...,
    durable: bool = ...,
    best_effort: bool = ...,
) -> Atomic: ...
def atomic(
    *clusters: Any,
    savepoint: bool = True,
    durable: bool = False,
    best_effort: bool = False,
) -> Any:
    """
    Commit what a block does on these clusters on all of them, or on none.

    Without a name it is for every cluster of the project. `savepoint` and `durable` are
    those of `django.db.transaction.atomic`. `best_effort` allows several servers that
    cannot prepare: these commit one after the other, and a crash in between leaves a
    part. What other transactions see is as it is on each server: there is no snapshot
    over servers, so a reader may see the commit on one before that on another.

    Raises `UnitRefused` inside of a transaction that would end without it, and at the
    end what the servers raise, `CannotPrepare` or `CommitInDoubt`. The protocol is that
    of `shoal.transactions.committing`.
    """
    options = {"savepoint": savepoint, "durable": durable, "best_effort": best_effort}
    if len(clusters) == 1 and callable(clusters[0]):
        return Atomic((), **options)(clusters[0])
    return Atomic(tuple(clusters), **options)
