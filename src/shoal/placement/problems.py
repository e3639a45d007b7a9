"""
Takes the models of a sharded cluster, gives what is wrong with how they are declared.

Asks no server. The system checks give each kind its id.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from django.apps import apps
from django.db.models import F, ForeignKey, UniqueConstraint

from shoal.errors import did_you_mean
from shoal.placement.declaring import declaration_of
from shoal.placement.enforcing import enforces, enforces_unique, vendor_of
from shoal.placement.keys import AnyField, end_of, key_column, key_type
from shoal.placement.layout import Layout, layout_of, lives_on
from shoal.placement.models import has_constraint
from shoal.placement.shapes import FaultKind, key_parts, parent_link
from shoal.topology import Cluster

KINDS = (
    *get_args(FaultKind),
    "keys_setting",
    "nullable_key",
    "inexact_key",
    "narrow_id",
    "unique",
    "foreign_key",
    "database_delete",
    "home",
)
"""Every kind of problem, in the order in which a model's are listed."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a declaration."""

    kind: str
    """One of `KINDS`."""
    message: str
    hint: str
    model: Any = None
    """The model, or `None` where a setting names one that is not there."""
    field: str | None = None


def problems(models: Iterable[Any], cluster: Cluster) -> list[Problem]:
    """
    Return what is wrong with these models on `cluster`.

    Tables behind plain many-to-many fields are looked at with the models that declare
    them. Proxies have no rows and no problems.
    """
    found: list[Problem] = []
    tables = _with_tables(models)
    for model in tables:
        layout = layout_of(model, cluster)
        found += _of_key(model, layout, cluster)
        found += _of_home(model, layout)
        if model._meta.managed:
            found += _of_id(model, layout, cluster)
            found += _of_uniques(model, layout, cluster)
            found += _of_foreign_keys(model, layout, cluster)
    return [*_of_setting(tables, cluster), *found]


def _with_tables(models: Iterable[Any]) -> list[Any]:
    found: dict[Any, None] = {}
    for model in models:
        meta = model._meta
        if meta.proxy or meta.swapped or meta.abstract:
            continue
        found[model] = None
        for field in meta.local_many_to_many:
            through: Any = field.remote_field.through
            if through._meta.auto_created:
                found[through] = None
    return list(found)


def _of_setting(models: list[Any], cluster: Cluster) -> Iterator[Problem]:
    where = f'SHOAL["CLUSTERS"][{cluster.name!r}]["KEYS"]'
    known = {model._meta.label_lower: model for model in models}
    for label, names in cluster.keys.items():
        model = known.get(label)
        if model is None:
            model = apps.all_models.get(label.partition(".")[0], {}).get(
                label.partition(".")[2]
            )
        if model is None:
            message = f"{where} names {label!r}, which is no model."
            hint = did_you_mean(label, list(known))
            yield Problem(kind="keys_setting", message=message, hint=hint)
            continue
        wrong = _setting_is_wrong(model, tuple(names), cluster)
        if wrong:
            message = f"{where} gives {model._meta.label} a key, but {wrong[0]}."
            yield Problem(
                kind="keys_setting", message=message, hint=wrong[1], model=model
            )


def _setting_is_wrong(
    model: Any, names: tuple[str, ...], cluster: Cluster
) -> tuple[str, str] | None:
    meta = model._meta
    if not lives_on(model, cluster):
        return "the model does not live on this cluster", "Remove it from KEYS."
    if meta.proxy:
        label = meta.concrete_model._meta.label
        return f"it is a proxy of {label}", f"Give {label} the key."
    if parent_link(meta) is not None:
        label = parent_link(meta).remote_field.model._meta.label
        return f"its rows lie with its parent's, {label}", f"Give {label} the key."
    declared = declaration_of(model)
    if declared is None or (declared.kind == "sharded" and declared.key == names):
        return None
    said = "@reference" if declared.kind == "reference" else f"key={declared.key!r}"
    return (
        f"the model itself says {said}",
        "Keep one of the two; what the model says counts.",
    )


def _of_key(model: Any, layout: Layout, cluster: Cluster) -> Iterator[Problem]:
    if layout.fault is not None:
        fault = layout.fault
        yield Problem(
            kind=fault.kind, message=fault.message, hint=fault.hint, model=model
        )
    vendor = vendor_of(cluster)
    for field in _local(model, layout.key):
        if field.null:
            yield Problem(
                kind="nullable_key",
                message=f"The key of {layout.model} is {field.name!r}, which may be "
                "NULL, and a row without a key is on no shard.",
                hint=f"Make {field.name!r} null=False, or choose another key.",
                model=model,
                field=field.name,
            )
        column = key_column(field)
        if column is not None and not column.is_exact(vendor):
            yield Problem(
                kind="inexact_key",
                message=f"The key of {layout.model} is {field.name!r}, a text that "
                "the database may call equal to another one, on another shard.",
                hint=_exact_hint(end_of(field), vendor),
                model=model,
                field=field.name,
            )


def _exact_hint(field: AnyField, vendor: str) -> str:
    name = f"{field.model._meta.label}.{field.name}"
    if vendor == "mysql":
        return (
            f'Give {name} db_collation="utf8mb4_nopad_bin" on MariaDB, '
            '"utf8mb4_0900_bin" on MySQL.'
        )
    if vendor == "sqlite":
        return f"Remove db_collation from {name}."
    return f"Give {name} a collation of PostgreSQL itself, and a type of Django's."


def _of_id(model: Any, layout: Layout, cluster: Cluster) -> Iterator[Problem]:
    pk = model._meta.pk
    if layout.ids != "bucketed" or vendor_of(cluster) == "sqlite":
        return
    if pk.get_internal_type() in ("AutoField", "SmallAutoField"):
        yield Problem(
            kind="narrow_id",
            message=f"{layout.model}.{pk.name} is a {type(pk).__name__}, but an id "
            "that carries its bucket needs 64 bits.",
            hint="Use BigAutoField (DEFAULT_AUTO_FIELD, or default_auto_field of its "
            f'app), or "IDS": "plain" in SHOAL["CLUSTERS"][{cluster.name!r}].',
            model=model,
            field=pk.name,
        )


def _of_uniques(model: Any, layout: Layout, cluster: Cluster) -> Iterator[Problem]:
    if layout.kind != "sharded" or layout.fault is not None:
        return
    for what, names in _uniques(model, layout):
        if enforces_unique(model, names, cluster):
            continue
        key = ", ".join(repr(field.name) for field in _local(model, layout.key))
        yield Problem(
            kind="unique",
            message=f"{layout.model}: {what} is unique, but equal ones may be on two "
            f"shards, where no database sees both: the key is {key}.",
            hint=f"Make it unique together with {key}, choose it for the key, or "
            "declare the model @reference.",
            model=model,
            field=names[0] if len(names) == 1 else None,
        )


def _uniques(model: Any, layout: Layout) -> Iterator[tuple[str, list[str]]]:
    meta = model._meta
    if not layout.allots_ids:
        parts = key_parts(meta.pk)
        # Nobody makes the same UUID twice.
        if not any(end_of(p).get_internal_type() == "UUIDField" for p in parts):
            yield "the primary key", [part.name for part in parts]
    for field in meta.local_concrete_fields:
        if field.unique and not field.primary_key:
            yield repr(field.name), [field.name]
    for names in meta.unique_together:
        yield f"unique_together {tuple(names)!r}", list(names)
    for constraint in meta.constraints:
        names = _names(constraint)
        if names is not None:
            yield f"the constraint {constraint.name!r}", names


def _names(constraint: Any) -> list[str] | None:
    """Return the fields that a constraint wants equal as they are; `None`: no such."""
    if isinstance(constraint, UniqueConstraint):
        return [*constraint.fields, *_plain(constraint.expressions)]
    # An ExclusionConstraint of PostgreSQL, which is not to be imported without it.
    pairs = getattr(constraint, "expressions", None)
    if type(constraint).__name__ != "ExclusionConstraint" or pairs is None:
        return None
    return _plain(expression for expression, operator in pairs if operator == "=")


def _plain(expressions: Iterable[Any]) -> list[str]:
    """Return the fields among the expressions that are nothing but a field."""
    names = (e.name if isinstance(e, F) else e for e in expressions)  # type: ignore[attr-defined]
    return [name for name in names if isinstance(name, str)]


def _of_foreign_keys(model: Any, layout: Layout, cluster: Cluster) -> Iterator[Problem]:
    for field in model._meta.local_fields:
        if not isinstance(field, ForeignKey) or not has_constraint(field):
            continue
        target: Any = field.target_field.model
        if not lives_on(target, cluster) or enforces(field, cluster):
            continue
        end = layout_of(target, cluster)
        if layout.fault is not None or end.fault is not None:
            continue
        if _is_of_database(field.remote_field.on_delete):
            yield _database_delete(field, layout, end)
            continue
        yield Problem(
            kind="foreign_key",
            message=f"{layout.model}.{field.name} points to rows of {end.model} that "
            f"may be on another shard, where no database finds them: "
            f"{layout.model} is {_lies(model, layout)}, "
            f"{end.model} is {_lies(target, end)}.",
            hint="Use db_constraint=False, declare "
            f"{end.model} @reference, or let both lie by the same key.",
            model=model,
            field=field.name,
        )


def _is_of_database(on_delete: Any) -> bool:
    """Say whether a deletion is left to the database: since Django 6.1."""
    return hasattr(on_delete, "on_delete_sql")


def _database_delete(field: Any, layout: Layout, end: Layout) -> Problem:
    name = f"{layout.model}.{field.name}"
    return Problem(
        kind="database_delete",
        message=f"{name} has on_delete={field.remote_field.on_delete}, but rows of "
        f"{end.model} may be on another shard than the rows that point to them, so "
        "only deletions through the sharded alias are followed.",
        hint="Use models.CASCADE, models.SET_NULL or models.SET_DEFAULT, declare "
        f"{end.model} @reference, or let both lie by the same key.",
        model=field.model,
        field=field.name,
    )


def _of_home(model: Any, layout: Layout) -> Iterator[Problem]:
    meta = model._meta
    if layout.kind != "home" or meta.auto_created or parent_link(meta) is not None:
        return
    parts = [part for part in key_parts(meta.pk) if key_type(part) is None]
    kinds = ", ".join(f"{part.name!r}, a {type(part).__name__}" for part in parts)
    yield Problem(
        kind="home",
        message=f"All rows of {layout.model} are on the home shard: its primary key is "
        f"{kinds}, whose values give no bucket.",
        hint="Give it a primary key that is a whole number, a text or a UUID, name "
        "another field with @sharded(key=...), or declare it @reference. If it is "
        "meant to be at home, silence this check.",
        model=model,
    )


def _lies(model: Any, layout: Layout) -> str:
    if layout.kind == "sharded":
        key = ", ".join(repr(field.name) for field in _local(model, layout.key))
        return f"sharded by {key}"
    return "on every shard" if layout.kind == "reference" else "on the home shard"


def _local(model: Any, columns: tuple[str, ...]) -> list[Any]:
    by_column = {field.column: field for field in model._meta.local_concrete_fields}
    return [by_column[column] for column in columns]
