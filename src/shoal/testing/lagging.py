"""
Takes clusters, lets their replicas show the data of one moment for a block.

Real replicas stop replaying. Mirrors, which read on the primary's connection, read a
copy of the rows; the router is told how far they have come.
"""

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.db import connections

from shoal.errors import LaggingError
from shoal.routing.context import current, current_unit
from shoal.routing.health import get_watch
from shoal.routing.scopes import Function, Scope
from shoal.routing.tokens import catch_up
from shoal.testing.copies import Copy, copy_of
from shoal.testing.mirrors import Mirror
from shoal.testing.observer import MirrorObserver
from shoal.testing.pausing import replay_paused
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import ClusterName

SEEN_WITHIN = 10.0
"""Seconds for the watch to see what real replicas show when a block begins."""


class lagging(Scope):
    """
    Let the replicas of these clusters show the data as it is when the block begins.

    Of every cluster that has replicas, if none is named. A context manager and a
    decorator, sync and async. Inside it reads are routed as in production, in a
    `TestCase` too. Blocks nest: the moment of the outermost one counts. Raises
    `UnknownCluster` or `LaggingError` at once.
    """

    def __init__(self, *clusters: ClusterName) -> None:
        super().__init__(
            {edition.name: edition for edition in _with_replicas(clusters)}
        )
        self._clusters = clusters
        self._open: list[contextlib.ExitStack] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for edition in self._changes.values():
                stack.enter_context(_held_back(edition))
            self._open.append(stack.pop_all())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.pop().close()

    async def __aenter__(self) -> Self:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, trace)

    def _again(self) -> Self:
        return type(self)(*self._clusters)

    def __call__(self, function: Function) -> Function:
        if isinstance(function, type):
            raise TypeError(
                f"lagging() cannot decorate the class {function.__qualname__}: what "
                "setUp() writes would be missing. Decorate its tests."
            )
        return super().__call__(function)


def _with_replicas(names: tuple[ClusterName, ...]) -> list[Cluster]:
    """Return the editions of the clusters that have replicas."""
    topology = get_topology()
    editions = {edition.name: edition for edition in topology.editions()}
    found = [] if names else list(editions.values())
    for name in names:
        cluster = topology.clusters.get(name)
        if cluster is None and name in editions:
            found.append(editions[name])
        else:
            found += cluster_named(name).all_editions
    followed = [edition for edition in found if edition.replicas]
    if not followed:
        what = f"The cluster {names[0]!r} has" if names else "The clusters have"
        raise LaggingError(
            f"{what} no replica that could lag.",
            hint='Name one that has "REPLICAS" in SHOAL["CLUSTERS"].',
        )
    return followed


@contextlib.contextmanager
def _held_back(edition: Cluster) -> Iterator[None]:
    observer = current().observer
    if not isinstance(observer, MirrorObserver):
        # A watch that first sees the primary after a write cannot tell for how long
        # the replicas have been without it, and would soon leave them out.
        get_watch().meet(edition, within=SEEN_WITHIN)
        with replay_paused(edition):
            # What this unit of work has written by now, replicas show.
            catch_up([edition.name], within=SEEN_WITHIN)
            yield
    elif observer.is_held(edition.primary):
        yield
    else:
        _require_mirrors(edition)
        with _copied(edition), _held(edition, observer):
            yield


def _require_mirrors(edition: Cluster) -> None:
    for replica in edition.replicas:
        if not isinstance(connections[replica.alias], Mirror):
            raise LaggingError(
                f"The replica {replica.alias!r} is a mirror, but not in this thread.",
                hint="Begin the block in the thread of the test.",
            )


@contextlib.contextmanager
def _held(edition: Cluster, observer: MirrorObserver) -> Iterator[None]:
    observer.hold(edition)
    current_unit().members.pop(edition.name, None)
    try:
        yield
    finally:
        observer.release(edition)


@contextlib.contextmanager
def _copied(edition: Cluster) -> Iterator[None]:
    """Let statements on the edition's mirrors read a copy of the rows."""
    primary = connections[edition.primary]
    show = _showing(copy := copy_of(primary))
    copy.make()
    # Behind all others: what they send themselves is none of a mirror's.
    primary.execute_wrappers.append(show)
    try:
        yield
    finally:
        primary.execute_wrappers.remove(show)
        copy.drop()


def _showing(copy: Copy) -> Callable[..., Any]:
    def show(
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if not isinstance(context["connection"], Mirror):
            return execute(sql, params, many, context)
        context["connection"].validate_no_broken_transaction()
        with copy.showing(context["cursor"]):
            return execute(sql, params, many, context)

    return show
