"""
`on_shard`, `on_every_shard`: say on which shards everything of a block runs.

Context managers and decorators, for sync and async code alike. They nest; the inner one
counts.
"""

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.db.models import Model

from shoal.errors import (
    DeclarationError,
    KeyTypeError,
    UnknownCluster,
    UnknownKey,
    UnknownShard,
    did_you_mean,
)
from shoal.placement.buckets import bucket_map
from shoal.placement.layout import Layout, layout_of, lives_on
from shoal.placement.models import get_placement
from shoal.topology import Cluster, cluster_named, get_topology
from shoal.types import Alias, ClusterName

Function = TypeVar("Function", bound=Callable[..., Any])
_targets: ContextVar[Mapping[ClusterName, tuple[Alias, ...]]] = ContextVar(
    "shoal.targets", default=MappingProxyType({})
)


def current_target(cluster: ClusterName) -> tuple[Alias, ...] | None:
    """Return the shards that the enclosing block names; `None` outside of any."""
    return _targets.get().get(cluster)


def shard_of(model: type[Model], key: Any) -> Alias:
    """
    Return the alias of the shard that holds the rows of `model` with this key.

    Several values make a key if the model has several fields for it. Raises
    `MissingKey`, `KeyTypeError`, `UnknownCluster` if its cluster has no shards,
    `UnknownKey` if its directory has no such key, and `DeclarationError` if it has no
    key, as a reference table.
    """
    cluster = sharded_cluster_of(model)
    layout = layout_of(model, cluster)
    if layout.kind == "home":
        return cluster.home.name
    return bucket_map(cluster).shard_of(layout.usable().bucket(key))


def sharded_cluster_of(model: type[Model]) -> Cluster:
    """Return the cluster of `model`, or raise if it is not a sharded one."""
    name = get_placement().cluster_of(model)
    cluster = get_topology().clusters.get(name) if name is not None else None
    if cluster is None:
        cluster = get_topology().clusters.get("default")
    if cluster is None or not cluster.is_sharded:
        raise UnknownCluster(
            f"{model._meta.label} lives on {name or 'no cluster'!r}, which has no "
            "shards.",
            hint='Claim the model for a cluster with "SHARDS".',
        )
    return cluster


class _Scope:
    def __init__(self, cluster: Cluster, aliases: tuple[Alias, ...]) -> None:
        self._cluster, self._aliases = cluster, aliases
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> Self:
        changed = {**_targets.get(), self._cluster.name: self._aliases}
        self._tokens.append(_targets.set(MappingProxyType(changed)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _targets.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)

    def __call__(self, function: Function) -> Function:
        def again() -> _Scope:
            return _Scope(self._cluster, self._aliases)

        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with again():
                    return await function(*args, **kwargs)

            return cast(Function, run_async)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return cast(Function, run)


MISSING: Any = object()


class on_shard(_Scope):
    """
    Run everything on this cluster on one shard, raw SQL too.

    On the shard of a key (of `model`, if the cluster has keys of several kinds), or on
    the `shard` of this alias. Rows that belong elsewhere are neither seen nor written.
    Raises `UnknownCluster`, `UnknownShard`, `MissingKey`, `KeyTypeError` or
    `DeclarationError` at once.
    """

    def __init__(
        self,
        cluster: ClusterName,
        *,
        key: Any = MISSING,
        model: type[Model] | None = None,
        shard: Alias | None = None,
    ) -> None:
        if (key is MISSING) == (shard is None):
            raise TypeError("on_shard() takes either key=... or shard=...")
        found = _sharded(cluster)
        alias = shard if shard is not None else _of_key(found, model, key)
        known = [one.name for one in found.shards]
        if alias not in known:
            raise UnknownShard(
                f"{alias!r} is not a shard of {cluster!r}.",
                hint=did_you_mean(str(alias), known),
            )
        super().__init__(found, (alias,))


class on_every_shard(_Scope):
    """
    Run raw SQL on every shard of this cluster, one after the other.

    Rows come shard by shard, in the order of `SHARDS`. Queries of models go their own
    way.
    """

    def __init__(self, cluster: ClusterName) -> None:
        found = _sharded(cluster)
        super().__init__(found, tuple(shard.name for shard in found.shards))


def _sharded(name: ClusterName) -> Cluster:
    cluster = cluster_named(name)
    if not cluster.is_sharded:
        known = [c.name for c in get_topology().clusters.values() if c.is_sharded]
        raise UnknownCluster(
            f"The cluster {name!r} has no shards.", hint=did_you_mean(name, known)
        )
    return cluster


def _of_key(cluster: Cluster, model: type[Model] | None, key: Any) -> Alias:
    if model is not None:
        return shard_of(model, key)
    layouts = _keyed(cluster)
    if len(layouts) == 1:
        return bucket_map(cluster).shard_of(layouts[0].usable().bucket(key))
    first, *others = {_bucket(layout, key) for layout in layouts} or [None]
    if first is not None and not others:
        return bucket_map(cluster).shard_of(first)
    names = ", ".join(layout.model for layout in layouts) or "no model"
    raise DeclarationError(
        f"The key {key!r} alone does not tell a shard of {cluster.name!r}: {names} "
        "have keys of several kinds.",
        hint=f"Say whose key it is: on_shard({cluster.name!r}, key=..., model=...).",
    )


def _bucket(layout: Layout, key: Any) -> int | None:
    """Return the bucket of the key, `None` if it is no key of this kind."""
    try:
        return layout.usable().bucket(key)
    except (KeyTypeError, UnknownKey):
        return None


def _keyed(cluster: Cluster) -> list[Layout]:
    """Return the layouts of the models that have a key; without any, of all models."""
    found = []
    for model in apps.get_models():
        if lives_on(model, cluster) and not model._meta.proxy:
            layout = layout_of(model, cluster)
            if layout.kind == "sharded" and layout.scheme is not None:
                found.append(layout)
    keyed = [layout for layout in found if layout.key != layout.primary_key]
    return keyed or found
