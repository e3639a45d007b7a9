"""
Takes a model, gives how its rows are cut: into shards and by which fields, or not.

Reads declarations and settings alone. What the fields' values say is in `layout`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from django.core.exceptions import FieldDoesNotExist
from django.db.models import AutoField, CompositePrimaryKey, Field

from shoal.errors import DeclarationError, did_you_mean
from shoal.placement.declaring import Declaration, declaration_of
from shoal.placement.keys import AnyField, key_type
from shoal.placement.models import MIGRATIONS, OWN_APP
from shoal.placement.strategies import Strategy
from shoal.topology import Cluster

Kind: TypeAlias = Literal["sharded", "reference", "home", "local"]
FaultKind: TypeAlias = Literal["unknown_key", "key_type", "strategy", "multi_table"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why no row of a model can be placed, as it declares it."""

    kind: FaultKind
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the rows of one table are cut."""

    kind: Kind
    key: tuple[AnyField, ...] = ()
    strategy: Strategy | None = None
    with_parent: bool = False
    """Whether its rows have to lie where the rows are that the key points to."""
    fault: Fault | None = None


def shape_of(model: Any, cluster: Cluster) -> Shape:
    """Return how the rows of `model` are cut on `cluster`. A fault is never raised."""
    meta = model._meta
    is_own = getattr(meta, "app_label", "") == OWN_APP
    if is_own or getattr(meta, "db_table", "") == MIGRATIONS:
        return Shape(kind="local")
    if getattr(meta, "pk", None) is None:
        return Shape(kind="home")
    link = parent_link(meta)
    if link is not None:
        return _with(link.remote_field.model, link, cluster, with_parent=True)
    declaration = declaration_of(model) or _of_settings(meta, cluster)
    if declaration is not None:
        return _declared(meta, declaration, cluster)
    if meta.auto_created:
        return _with(meta.auto_created, _source(model), cluster)
    return _by_primary_key(meta)


def parent_link(meta: Any) -> Any:
    """Return the foreign key of a multi-table child to its first parent."""
    return next((link for link in meta.parents.values() if link is not None), None)


def allots_ids(meta: Any) -> bool:
    """Say whether new rows get an id that Shoal has to hand out."""
    return isinstance(getattr(meta, "pk", None), AutoField)


def key_parts(field: Any) -> tuple[AnyField, ...]:
    """Return the fields of a composite primary key, or the field itself."""
    if isinstance(field, CompositePrimaryKey):
        return tuple(part for part in field.fields if isinstance(part, Field))
    return (field,)


def has_bucketed_id(meta: Any, cluster: Cluster) -> bool:
    """Say whether the primary key carries the bucket, if its rows are sharded."""
    return cluster.ids == "bucketed" and allots_ids(meta)


def _of_settings(meta: Any, cluster: Cluster) -> Declaration | None:
    key = cluster.keys.get(f"{meta.app_label}.{meta.model_name}")
    return None if key is None else Declaration(kind="sharded", key=tuple(key))


def _with(
    model: Any, link: AnyField, cluster: Cluster, *, with_parent: bool = False
) -> Shape:
    """Cut rows as the rows of `model` that `link` points to."""
    kind = shape_of(model._meta.concrete_model, cluster).kind
    if kind != "sharded":
        return Shape(kind=kind)
    return Shape(kind=kind, key=(link,), with_parent=with_parent)


def _source(through: Any) -> AnyField:
    """Return the foreign key from a plain many-to-many table to its declaring model."""
    declaring: Any = through._meta.auto_created._meta
    for field in declaring.local_many_to_many:
        if field.remote_field.through is through:
            name = field.m2m_field_name()
            return through._meta.get_field(name)  # type: ignore[no-any-return]
    # A table that a migration takes along: the first of the two points to the source.
    return next(f for f in through._meta.local_fields if f.remote_field)


def _by_primary_key(meta: Any) -> Shape:
    key = key_parts(meta.pk)
    if any(key_type(field) is None for field in key):
        return Shape(kind="home")
    return Shape(kind="sharded", key=key)


def _declared(meta: Any, declaration: Declaration, cluster: Cluster) -> Shape:
    if declaration.kind == "reference":
        return Shape(kind="reference")
    try:
        key = _fields(meta, declaration.key)
        strategy = declaration.strategy()
    except _Faulty as error:
        return Shape(kind="sharded", fault=error.fault)
    except DeclarationError as error:
        message = f"{meta.label}: {error.message}"
        fault = Fault(kind="strategy", message=message, hint=error.hint)
        return Shape(kind="sharded", fault=fault)
    return Shape(
        kind="sharded",
        key=key,
        strategy=strategy,
        fault=_misfit(meta, key, strategy, cluster),
    )


class _Faulty(Exception):
    def __init__(self, kind: FaultKind, message: str, hint: str) -> None:
        self.fault = Fault(kind=kind, message=message, hint=hint)


def _fields(meta: Any, names: Sequence[str]) -> tuple[AnyField, ...]:
    if not names:
        fields = key_parts(meta.pk)
    else:
        fields = tuple(part for name in names for part in key_parts(_field(meta, name)))
    for field in fields:
        if key_type(field) is None:
            what = type(field).__name__
            raise _Faulty(
                "key_type",
                f"The key of {meta.label} is {field.name!r}, a {what}, "
                "whose values give no bucket.",
                "A key is a whole number, a boolean, a text, a UUID, or a foreign key "
                "to one. Choose another with @sharded(key=...), or declare @reference.",
            )
    return fields


def _field(meta: Any, name: str) -> Any:
    known = [field.name for field in meta.local_concrete_fields]
    try:
        field = meta.pk if name == "pk" else meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if field is None or field.model._meta.concrete_model is not meta.concrete_model:
        raise _Faulty(
            "unknown_key",
            f"The key of {meta.label} is {name!r}, which is not a field of it.",
            did_you_mean(name, known),
        )
    if field not in (*meta.local_concrete_fields, meta.pk):
        raise _Faulty(
            "unknown_key",
            f"The key of {meta.label} is {name!r}, which has no column in its table.",
            did_you_mean(name, known),
        )
    return field


def _misfit(
    meta: Any, key: tuple[AnyField, ...], strategy: Strategy | None, cluster: Cluster
) -> Fault | None:
    if strategy is None:
        return None
    names = ", ".join(field.name for field in key)
    if key == (meta.pk,) and has_bucketed_id(meta, cluster):
        return Fault(
            kind="strategy",
            message=f"{meta.label} is sharded by {strategy.name} of {names!r}, an id "
            "that is made of its bucket.",
            hint="Remove by=..., give key=... another field, or use "
            f'"IDS": "plain" in SHOAL["CLUSTERS"][{cluster.name!r}].',
        )
    types = [t for t in map(key_type, key) if t is not None]
    if strategy.accepts(types):
        return None
    return Fault(
        kind="strategy",
        message=f"{meta.label} is sharded by {strategy.name}, which cannot read its "
        f"key: {names} ({', '.join(types)}).",
        hint="modulo takes one whole number, ranges one value like its bounds, "
        "directory one column. Without by=..., a hash takes every key.",
    )
