"""
The names in `include`. Takes names and a model, gives relations; asks no server.

A name is written as for `prefetch_related`: `"sections"`, `"sections__footnotes"`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from shoal.errors import PublishError, did_you_mean
from shoal.placement import get_placement
from shoal.publishing.tables import ModelClass, concrete, is_own_to_each_edition
from shoal.types import ClusterName

Tree: TypeAlias = Mapping[str, "Tree"]
Kind: TypeAlias = Literal["forward", "reverse", "links", "reverse links"]


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A step from the rows of one model to those of another."""

    kind: Kind
    owner: ModelClass
    """The model that has it, which for a multi-table child may be a parent."""
    target: ModelClass
    field: Any
    """The foreign key or the many-to-many field that makes the relation."""


def tree_of(names: Iterable[str]) -> Tree:
    """Turn `["a", "a__b", "c"]` into `{"a": {"b": {}}, "c": {}}`. Pure."""
    if isinstance(names, str):
        raise PublishError(
            f"include is the string {names!r}, not a list of names.",
            hint=f"Write include=[{names!r}].",
        )
    tree: dict[str, Any] = {}
    for name in names:
        below = tree
        for step in name.split("__"):
            below = below.setdefault(step, {})
    return tree


def relations_of(model: ModelClass) -> dict[str, Relation]:
    """Return every relation of the model that `include` may name."""
    meta = model._meta
    found: dict[str, Relation] = {}
    for field in (*meta.fields, *meta.many_to_many):
        end: Any = field.remote_field.model if field.remote_field else None
        if isinstance(end, type):
            found[field.name] = Relation(
                kind="links" if field.many_to_many else "forward",
                owner=concrete(field.model),
                target=concrete(end),
                field=field,
            )
    for end in meta.related_objects:
        if not end.hidden and (name := end.get_accessor_name()):
            found[name] = Relation(
                kind="reverse links" if end.many_to_many else "reverse",
                owner=concrete(end.model),
                target=concrete(end.related_model),
                field=end.field,
            )
    return found


def check(tree: Tree, models: Iterable[ModelClass], cluster: ClusterName) -> None:
    """Raise `PublishError` for a name that leads nowhere, or out of the cluster."""
    known = [relations_of(model) for model in models]
    for name, below in tree.items():
        relations = [by_name[name] for by_name in known if name in by_name]
        if known and not relations:
            raise _unknown(name, models, {n for by_name in known for n in by_name})
        for relation in relations:
            _check_target(name, relation, cluster)
        check(below, {relation.target for relation in relations}, cluster)


def _unknown(name: str, models: Iterable[ModelClass], known: set[str]) -> PublishError:
    labels = " and ".join(sorted(model._meta.label for model in models))
    return PublishError(
        f"include names {name!r}, which is not a relation of {labels}.",
        hint=did_you_mean(name, known),
    )


def _check_target(name: str, relation: Relation, cluster: ClusterName) -> None:
    home = get_placement().cluster_of(relation.target)
    if home != cluster:
        where = f"the cluster {home!r}" if home else "no cluster"
        raise PublishError(
            f"include names {name!r}, which leads to {relation.target._meta.label}: "
            f"that lives on {where} and not on {cluster!r}.",
            hint="Its rows have no editions here. Leave it out.",
        )
    if "reverse" in relation.kind and is_own_to_each_edition(relation.target):
        raise PublishError(
            f"include names {name!r}, which leads to {relation.target._meta.label}: "
            "each database makes these rows for itself.",
            hint="Leave it out, and run `manage.py shoal migrate`.",
        )
