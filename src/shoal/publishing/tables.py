"""
The shape of the table behind a model. Takes a model, gives fields and references.

A model is seen as its own table only: a multi-table child refers to the row of its
parent through the parent link, as to any other row.
"""

import functools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models import Field, Model

from shoal.placement import get_placement
from shoal.types import ClusterName

ModelClass: TypeAlias = type[Model]
Key: TypeAlias = Any
"""A primary key; a tuple where it is made of several fields."""
Row: TypeAlias = tuple[Any, ...]
"""The values of `Table.fields`, as they came from the database."""
AnyField: TypeAlias = "Field[Any, Any]"

OWN_TO_EACH_EDITION = ("contenttypes.ContentType", "auth.Permission")
"""
Models whose rows each database makes for itself when it is migrated.

The same row may have another primary key in another edition, so it is found there by
its natural key and never copied.
"""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A foreign key of a table, to a row of the same cluster."""

    position: int
    field: Any
    target: ModelClass

    @property
    def to_primary_key(self) -> bool:
        return bool(self.field.target_field == self.target._meta.pk)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    model: ModelClass
    fields: tuple[AnyField, ...]
    """What is copied: the columns of this table that the database doesn't generate."""
    key_positions: tuple[int, ...]
    references: tuple[Reference, ...]

    @property
    def label(self) -> str:
        return self.model._meta.label

    def key_of(self, row: Row) -> Key:
        if len(self.key_positions) == 1:
            return row[self.key_positions[0]]
        return tuple(row[position] for position in self.key_positions)

    def position_of(self, field: Any) -> int:
        return self.fields.index(field)

    @property
    def data_positions(self) -> tuple[int, ...]:
        """The positions of the fields that are not part of the key."""
        every = range(len(self.fields))
        return tuple(p for p in every if p not in self.key_positions)


@functools.cache
def _shape(model: ModelClass) -> tuple[tuple[AnyField, ...], tuple[int, ...]]:
    fields = tuple(
        field
        for field in model._meta.local_concrete_fields
        if not getattr(field, "generated", False)
    )
    keys = getattr(model._meta, "pk_fields", [model._meta.pk])
    return fields, tuple(fields.index(field) for field in keys)


def table_of(model: ModelClass, cluster: ClusterName) -> Table:
    """Describe the table; references lead only to models of `cluster`."""
    fields, keys = _shape(model)
    references = (
        Reference(position=position, field=field, target=concrete(end))
        for position, field in enumerate(fields)
        if (end := related_model(field)) is not None and lives_on(end, cluster)
    )
    return Table(
        model=model,
        fields=fields,
        key_positions=keys,
        references=tuple(references),
    )


def concrete(model: Any) -> ModelClass:
    return model._meta.concrete_model or model  # type: ignore[no-any-return]


def related_model(field: Any) -> ModelClass | None:
    """Return the model that a concrete foreign key points to."""
    if (field.many_to_one or field.one_to_one) and field.remote_field is not None:
        return field.remote_field.model  # type: ignore[no-any-return]
    return None


def lives_on(model: ModelClass, cluster: ClusterName) -> bool:
    return get_placement().cluster_of(model) == cluster


def is_own_to_each_edition(model: ModelClass) -> bool:
    return concrete(model)._meta.label in OWN_TO_EACH_EDITION


def unique_positions(table: Table) -> frozenset[int] | None:
    """
    Return the positions of fields that some unique constraint speaks of.

    `None` where it can't be told, since a constraint is made of expressions.
    """
    meta = table.model._meta
    names: set[str] = {f.name for f in table.fields if f.unique and not f.primary_key}
    for group in meta.unique_together:
        names.update(group)
    for constraint in meta.constraints:
        if type(constraint).__name__ == "CheckConstraint":
            continue
        if not getattr(constraint, "fields", ()):
            return None
        names.update(constraint.fields)  # type: ignore[attr-defined]
        if getattr(constraint, "condition", None) is not None:
            return None
    found = (p for p, field in enumerate(table.fields) if field.name in names)
    return frozenset(found)


def in_order(tables: Collection[Table]) -> tuple[list[Table], frozenset[ModelClass]]:
    """
    Put a table behind those that it refers to. Pure.

    Gives the models, too, whose tables refer to themselves or to each other in a ring,
    so that no order is right for them.
    """
    left = {t.model: {r.target for r in t.references} for t in tables}
    by_model = {table.model: table for table in tables}
    ordered: list[Table] = []
    rings: set[ModelClass] = {m for m, ends in left.items() if m in ends}
    for ends in left.values():
        ends.intersection_update(by_model)
    for model in rings:
        left[model].discard(model)
    while left:
        free = sorted((m for m, e in left.items() if not e), key=_by_label)
        if not free:
            rings.update(_on_rings(left))
            free = [min(rings & set(left), key=_by_label)]
        for model in free:
            ordered.append(by_model[model])
            del left[model]
        for ends in left.values():
            ends.difference_update(free)
    return ordered, frozenset(rings)


def _on_rings(left: dict[ModelClass, set[ModelClass]]) -> set[ModelClass]:
    """Return the models from which references lead back to themselves."""

    def reachable(start: ModelClass) -> Iterator[ModelClass]:
        seen: set[ModelClass] = set()
        ahead = [start]
        while ahead:
            for end in left[ahead.pop()] - seen:
                seen.add(end)
                ahead.append(end)
        yield from seen

    return {model for model in left if model in reachable(model)}


def _by_label(model: ModelClass) -> str:
    return model._meta.label


def named(model: ModelClass, keys: Iterable[Key], most: int = 3) -> str:
    """Name objects for a message: `pages.Page 1, 2, 3 and 4 more`."""
    listed = [repr(key) if isinstance(key, str) else str(key) for key in keys]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"{model._meta.label} {', '.join(listed[:most])}{more}"
