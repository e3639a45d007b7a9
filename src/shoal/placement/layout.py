"""
Takes a model and its sharded cluster, gives how its rows lie there.

Asks no server. Anything with a `_meta` will do for a model: those of a migration's
history, and the stand-ins of Django's database cache.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from django.db.models import ForeignKey

from shoal.errors import DeclarationError, KeyMismatch
from shoal.placement.keys import AnyField, key_column
from shoal.placement.models import get_placement
from shoal.placement.schemes import Scheme
from shoal.placement.shapes import (
    Fault,
    Kind,
    Shape,
    allots_ids,
    has_bucketed_id,
    key_parts,
    shape_of,
)
from shoal.placement.strategies import BITS, HASH, Directory, Strategy
from shoal.topology import Cluster

_KEPT = "_shoal_layout"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the rows of one table lie on a sharded cluster."""

    model: str
    """The label, for errors."""
    kind: Kind
    """
    `sharded`: by a key. `reference`: every row on every shard. `home`: every row on
    the home shard. `local`: each shard has rows of its own.
    """
    key: tuple[str, ...] = ()
    """The columns of the key."""
    scheme: Scheme | None = field(default=None, repr=False)
    """How the whole key gives the bucket; `None` if nothing is sharded, or a fault."""
    locators: Mapping[str, Scheme] = field(default_factory=dict)
    """Each column that gives a row's bucket by itself."""
    primary_key: tuple[str, ...] = ()
    """The columns of the primary key."""
    allots_ids: bool = False
    """Whether the primary key is an automatic number that Shoal hands out."""
    ids: Literal["bucketed", "plain"] = "plain"
    """`bucketed` only where the primary key carries the bucket."""
    fault: Fault | None = None
    """Why no row can be placed; `manage.py check` shows it."""

    def prunes(self, column: str, vendor: str) -> bool:
        """
        Say whether `column = value` leaves only the bucket of `value`.

        Not where the database may call two texts equal that are not the same.
        """
        scheme = self.locators.get(column)
        return scheme is not None and scheme.is_exact(vendor)

    def usable(self) -> Scheme:
        """Return the scheme of the key, or raise `DeclarationError` with the fault."""
        if self.scheme is not None:
            return self.scheme
        if self.fault is not None:
            raise DeclarationError(self.fault.message, hint=self.fault.hint)
        raise DeclarationError(
            f"{self.model} has no key: its rows are not sharded but {self.kind}.",
            hint='Only what is @sharded lies by a key: @sharded(key="...").',
        )


def layout_of(model: Any, cluster: Cluster) -> Layout:
    """
    Return how the rows of `model` lie on `cluster`.

    A declaration that cannot be followed gives a layout with a `fault` that raises
    when a row needs its shard, so that tables can be made and checks can run.
    """
    model = getattr(model._meta, "concrete_model", None) or model
    # Kept on the class, so that a model of a migration's history is not kept for ever.
    # A cluster is a new object after each change of the settings.
    kept = getattr(model, "__dict__", {}).get(_KEPT)
    if kept is not None and kept[0] is cluster:
        return kept[1]  # type: ignore[no-any-return]
    layout = _build(model, cluster)
    with contextlib.suppress(AttributeError, TypeError):
        setattr(model, _KEPT, (cluster, layout))
    return layout


def bucket_of(layout: Layout, values: Mapping[str, Any]) -> int:
    """
    Return the bucket of a row from its `values` by column name.

    Every column that gives the bucket and has a value must give the same, otherwise
    `KeyMismatch`. The key must have a value, otherwise `MissingKey`.
    """
    scheme = layout.usable()
    parts = tuple(values.get(column) for column in layout.key)
    bucket = scheme.bucket(parts[0] if len(parts) == 1 else parts)
    for column, locator in layout.locators.items():
        value = values.get(column)
        if value is not None and column not in layout.key:
            other = locator.bucket(value)
            if other != bucket:
                raise KeyMismatch(
                    f"{layout.model}: {column} {value!r} belongs to bucket {other}, "
                    f"but the key ({', '.join(layout.key)}) to bucket {bucket}.",
                    hint=f"Leave {column} out, and the row gets one that fits its key.",
                )
    return bucket


def lives_on(model: Any, cluster: Cluster) -> bool:
    """Say whether the rows of `model` are on this cluster."""
    return get_placement().cluster_of(model) == cluster.name


def _build(model: Any, cluster: Cluster) -> Layout:
    meta = model._meta
    pk = getattr(meta, "pk", None)
    shape = shape_of(model, cluster)
    is_sharded = shape.kind == "sharded"
    layout = Layout(
        model=str(getattr(meta, "label", meta.db_table)),
        kind=shape.kind,
        key=_columns(shape.key),
        primary_key=_columns(key_parts(pk)) if pk is not None else (),
        allots_ids=allots_ids(meta) and shape.kind in ("sharded", "reference"),
        ids="bucketed" if is_sharded and has_bucketed_id(meta, cluster) else "plain",
        fault=shape.fault,
    )
    return _with_schemes(layout, meta, shape, cluster) if is_sharded else layout


def _with_schemes(layout: Layout, meta: Any, shape: Shape, cluster: Cluster) -> Layout:
    scheme, fault = _scheme_of(shape, cluster), shape.fault
    if scheme is None and fault is None:
        fault = _lost(meta, shape)
    locators: dict[str, Scheme] = {}
    if layout.ids == "bucketed":
        locators[layout.primary_key[0]] = _scheme(BITS, (meta.pk,))
    if scheme is not None and len(layout.key) == 1:
        locators[layout.key[0]] = scheme
    return replace(
        layout, scheme=scheme, locators=MappingProxyType(locators), fault=fault
    )


def _scheme_of(shape: Shape, cluster: Cluster) -> Scheme | None:
    """Return how the key gives the bucket, `None` where it does not."""
    if shape.fault is not None:
        return None
    if len(shape.key) == 1:
        strategy = _strategy_of(shape.key[0], shape, cluster)
        return None if strategy is None else _scheme(strategy, shape.key)
    return _scheme(shape.strategy or HASH, shape.key)


def _strategy_of(key: AnyField, shape: Shape, cluster: Cluster) -> Strategy | None:
    if key.primary_key and has_bucketed_id(key.model._meta, cluster):
        return BITS
    if isinstance(shape.strategy, Directory):
        return Directory(cluster.name)
    followed = _followed(key, cluster) if shape.strategy is None else None
    if followed is None and shape.with_parent:
        return None
    return shape.strategy or followed or HASH


def _followed(link: AnyField, cluster: Cluster) -> Strategy | None:
    """Return how the column that a foreign key points to gives the bucket there."""
    if not isinstance(link, ForeignKey):
        return None
    end = link.target_field
    if not lives_on(end.model, cluster):
        return None
    shape = shape_of(end.model, cluster)
    if shape.kind != "sharded" or shape.fault is not None:
        return None
    if end.primary_key and has_bucketed_id(end.model._meta, cluster):
        return BITS
    if shape.key != (end,):
        return None
    return _strategy_of(end, shape, cluster)


def _scheme(strategy: Strategy, fields: tuple[AnyField, ...]) -> Scheme:
    columns = tuple(column for column in map(key_column, fields) if column is not None)
    return Scheme(strategy, columns)


def _columns(fields: tuple[AnyField, ...]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in fields)


def _lost(meta: Any, shape: Shape) -> Fault:
    parent: Any = shape.key[0].remote_field.model  # type: ignore[union-attr]
    return Fault(
        kind="multi_table",
        message=f"{meta.label} lies with the rows of its parent {parent._meta.label}, "
        "but its own columns do not say where they are.",
        hint='Use "IDS": "bucketed", so that the shared primary key carries the '
        f"bucket, or shard {parent._meta.label} by its primary key.",
    )
