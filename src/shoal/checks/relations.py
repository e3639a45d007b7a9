"""Takes models, gives relations that no database can hold."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DO_NOTHING, Model

from shoal.checks.messages import Messages, has_table
from shoal.conf import get_conf, read_settings
from shoal.placement import get_placement
from shoal.placement.models import has_constraint


@register(Tags.models, "shoal")
def check_relations(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """E003, E004, E005, E020: relations that no database can hold."""
    if read_settings()[1] or not get_conf().clusters:
        return []
    found: list[CheckMessage] = []
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        for model in config.get_models():
            if has_table(model):
                found.extend(relations_of(model))
    return found


def relations_of(model: type[Model]) -> Messages:
    """E003, E004, E005, E020 of one model."""
    home = get_placement().cluster_of(model)
    for field in model._meta.local_fields:
        target = _target(field)
        if target is not None and get_placement().cluster_of(target) != home:
            yield from _foreign_key_across(model, field, target, home)
    for many in model._meta.local_many_to_many:
        target = _target(many)
        if target is not None:
            yield from _many_to_many_across(model, many, target, home)
    for private in model._meta.private_fields:
        yield from _generic_across(model, private, home)


def _target(field: Any) -> type[Model] | None:
    target = field.remote_field.model if field.remote_field else None
    return target if isinstance(target, type) else None


def _where(name: str | None) -> str:
    return f"cluster {name!r}" if name else "no cluster of Shoal"


def _foreign_key_across(
    model: type[Model], field: Any, target: type[Model], home: str | None
) -> Messages:
    there = _where(get_placement().cluster_of(target))
    if has_constraint(field):
        yield Error(
            f"{model._meta.label}.{field.name} is a foreign key with a database "
            f"constraint, from {_where(home)} to {target._meta.label} on {there}.",
            hint="Set db_constraint=False and on_delete=models.DO_NOTHING, or place "
            "both models on one cluster.",
            obj=field,
            id="shoal.E003",
        )
    elif field.remote_field.on_delete is not DO_NOTHING:
        yield Error(
            f"{model._meta.label}.{field.name} follows the deletion of "
            f"{target._meta.label} on {there}, but Django would look for its rows "
            f"there and not on {_where(home)}.",
            hint="Set on_delete=models.DO_NOTHING, and do what is to be done in a "
            "receiver of post_delete.",
            obj=field,
            id="shoal.E020",
        )


def _many_to_many_across(
    model: type[Model], field: Any, target: type[Model], home: str | None
) -> Messages:
    placement = get_placement()
    through = field.remote_field.through
    homes = {home, placement.cluster_of(target), placement.cluster_of(through)}
    if len(homes) > 1:
        yield Error(
            f"{model._meta.label}.{field.name} is a many-to-many field from "
            f"{_where(home)} to {target._meta.label} on "
            f"{_where(placement.cluster_of(target))}; its link rows live on "
            f"{_where(placement.cluster_of(through))}.",
            hint="Place all three on one cluster, or declare a model of your own with "
            "two foreign keys, the one across with db_constraint=False.",
            obj=field,
            id="shoal.E004",
        )


def _generic_across(model: type[Model], field: Any, home: str | None) -> Messages:
    # By their attributes: contenttypes cannot be imported where it is not installed.
    placement = get_placement()
    if hasattr(field, "object_id_field_name"):
        target = _target(field)
        if target is not None and placement.cluster_of(target) != home:
            yield Error(
                f"{model._meta.label}.{field.name} is a generic relation from "
                f"{_where(home)} to {target._meta.label} on "
                f"{_where(placement.cluster_of(target))}.",
                hint="Queries and deletes through it would be sent to one server "
                "only. Place both on one cluster, or query the other model yourself.",
                obj=field,
                id="shoal.E005",
            )
    elif hasattr(field, "ct_field"):
        types = _content_types(model, field)
        if types is not None and placement.cluster_of(types) != home:
            yield Error(
                f"{model._meta.label}.{field.name} is a generic foreign key on "
                f"{_where(home)}, but content types live on "
                f"{_where(placement.cluster_of(types))}.",
                hint="Django looks for the content type on the server of the row, so "
                "the field can be neither set nor read. Place both on one cluster, or "
                "store the label and the key of what is meant in fields of your own.",
                obj=field,
                id="shoal.E005",
            )


def _content_types(model: type[Model], field: Any) -> type[Model] | None:
    """Return what the field of the content type points to; Django says if none is."""
    try:
        return _target(model._meta.get_field(field.ct_field))
    except FieldDoesNotExist:
        return None
