"""
`pinned`, `stale`, `fresh`, `role`, `unguarded`: say how a block's queries are routed.

Each is a context manager and a decorator, for sync and async code alike. They nest,
and each puts back what it changed, whatever is raised. A queryset is routed when it is
evaluated, so one built inside a block and evaluated after it is routed as after it.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from shoal.errors import UnknownCluster, did_you_mean
from shoal.routing.context import current, set_current
from shoal.routing.tokens import catch_up
from shoal.topology import cluster_named, get_topology
from shoal.types import Alias, ClusterName, Role

_entered: ContextVar[tuple[tuple[Any, Mapping[str, Any]], ...]] = ContextVar(
    "shoal.entered", default=()
)
"""The scopes that are open, with what each has replaced, in the order of entering."""

Function = TypeVar("Function", bound=Callable[..., Any])
MISSING: Any = object()


class Scope:
    """One mapping of the context with some keys changed for the time of a block."""

    field: str

    def __init__(self, changes: Mapping[str, Any]) -> None:
        self._changes = changes

    def __enter__(self) -> Self:
        values, changes = self._values(), self._made()
        before = {key: values.get(key, MISSING) for key in changes}
        _entered.set((*_entered.get(), (self, before)))
        self._set({**values, **changes})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        values = {**self._values(), **self._leave()}
        self._set({k: v for k, v in values.items() if v is not MISSING})

    def _leave(self) -> Mapping[str, Any]:
        """Return what was before, in this thread or coroutine and no other."""
        entered = list(_entered.get())
        for place in reversed(range(len(entered))):
            if entered[place][0] is self:
                before = entered.pop(place)[1]
                _entered.set(tuple(entered))
                return before
        # Left in another thread or task than entered: nothing was changed in this one.
        return {}

    def _made(self) -> Mapping[str, Any]:
        """Return what the block is to change, as it is when the block is entered."""
        return self._changes

    def _values(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = getattr(current(), self.field)
        return found

    def _set(self, values: Mapping[str, Any]) -> None:
        change: dict[str, Any] = {self.field: MappingProxyType(values)}
        set_current(replace(current(), **change))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _again(self) -> Self:
        """Return a scope of the same changes, so that each call has its own."""
        again = object.__new__(type(self))
        Scope.__init__(again, self._changes)
        return again

    def __call__(self, function: Function) -> Function:
        wrap = _wrap_async if iscoroutinefunction(function) else _wrap_sync
        for refused in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            if refused(function):
                raise TypeError(
                    f"{type(self).__name__}() cannot decorate the generator "
                    f"{function.__qualname__}: its body runs after the call returned. "
                    f"Use `with {type(self).__name__}(...)` inside it."
                )
        return cast(Function, wrap(self._again, function))


def _wrap_sync(
    scope: Callable[[], Scope], function: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with scope():
            result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            # An async view behind a plain function: its body runs when awaited.
            return _await_in(scope, result)
        return result

    return wrapped


async def _await_in(scope: Callable[[], Scope], awaitable: Awaitable[Any]) -> Any:
    async with scope():
        return await awaitable


def _wrap_async(
    scope: Callable[[], Scope], function: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        async with scope():
            return await function(*args, **kwargs)

    return wrapped


class pinned(Scope):
    """
    Read from the primary of these clusters; of every cluster, if none is named.

    Raises `UnknownCluster` at once for a name that is not a cluster.
    """

    field = "pins"

    def __init__(self, *clusters: ClusterName) -> None:
        super().__init__(dict.fromkeys(_known(clusters), True))


class stale(Scope):
    """
    Let any replica serve reads, even right after a write of this unit of work.

    Inside `atomic()` reads still use that transaction's connection.
    """

    field = "pins"

    def __init__(self, *clusters: ClusterName) -> None:
        super().__init__(dict.fromkeys(_known(clusters), False))


class fresh(Scope):
    """
    Let replicas serve reads again as soon as they show what this unit has written.

    Waits up to `wait` seconds for one of each cluster, and then reads from the
    primary. Inside it `pinned()` and `stale()` of an outer block do not count.
    """

    field = "pins"

    def __init__(self, *clusters: ClusterName, wait: float = 0.0) -> None:
        if not wait >= 0:
            raise ValueError(f"fresh(wait={wait!r}): it takes seconds, 0 or more.")
        super().__init__(dict.fromkeys(_known(clusters)))
        self._wait = wait

    def _again(self) -> Self:
        again = super()._again()
        again._wait = self._wait
        return again

    def __enter__(self) -> Self:
        catch_up(self._changes, within=self._wait)
        return super().__enter__()

    async def __aenter__(self) -> Self:
        await sync_to_async(catch_up)(self._changes, within=self._wait)
        return super().__enter__()


class role(Scope):
    """
    Work on this edition of the cluster: `with role("site", "draft"): ...`.

    An object that was loaded from an edition is saved to that edition, and its
    relations are read there, whatever the role is by then. Where Django does not tell
    the router which object it is about (`bulk_update()`, `bulk_create()`, `create()`,
    `update()` of a queryset), the role at that moment decides. Raises `UnknownCluster`
    or `UnknownRole` at once.
    """

    field = "roles"

    def __init__(self, cluster: ClusterName, role: Role) -> None:
        cluster_named(cluster).edition(role)
        super().__init__({cluster: role})


class roles(Scope):
    """Several roles at once, by cluster. What `Middleware` opens for a request."""

    field = "roles"

    def __init__(self, roles: Mapping[ClusterName, Role]) -> None:
        for cluster, name in roles.items():
            cluster_named(cluster).edition(name)
        super().__init__(dict(roles))


class unguarded(Scope):
    """
    Allow writes on this alias to tables of models that live on another cluster.

    For the hours of a move from one database to another. Writes on a replica stay
    refused.
    """

    field = "unguarded"

    def __init__(self, *aliases: Alias) -> None:
        for alias in aliases:
            if alias not in connections:
                raise ConnectionDoesNotExist(
                    f"No alias is named {alias!r}. "
                    f"{did_you_mean(alias, list(connections))}"
                )
        super().__init__(dict.fromkeys(aliases, True))


def _known(clusters: tuple[ClusterName, ...]) -> list[ClusterName]:
    """Return the editions of the clusters, of all clusters if none is named."""
    topology = get_topology()
    known = [edition.name for edition in topology.editions()]
    found = []
    for name in clusters or known:
        if name not in known:
            raise UnknownCluster(
                f"No cluster is named {name!r}.", hint=did_you_mean(str(name), known)
            )
        cluster = topology.clusters.get(name)
        found += [e.name for e in cluster.all_editions] if cluster else [name]
    return found
