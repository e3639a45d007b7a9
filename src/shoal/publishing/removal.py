"""Takes objects, removes them from one edition by Django's own rules of deletion."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.db.models.deletion import Collector, ProtectedError, RestrictedError

from shoal.errors import PublishError
from shoal.publishing.reading import matching
from shoal.publishing.report import Tally
from shoal.publishing.tables import Key, ModelClass, Table, named
from shoal.publishing.walk import Scope
from shoal.types import Alias

Doomed = dict[ModelClass, dict[Key, Model]]


def doomed(
    scopes: Iterable[Scope], alias: Alias, kept: Mapping[ModelClass, Any]
) -> Doomed:
    """Return what a scope has there, but for the rows that are copied."""
    found: Doomed = {}
    for scope in scopes:
        for queryset in matching(scope.model, alias, scope.lookup, scope.keys):
            for item in queryset:
                if item.pk not in kept.get(scope.model, ()):
                    found.setdefault(scope.model, {})[item.pk] = item
    return found


def remove(
    objects: Doomed, ordered: Sequence[Table], alias: Alias, tally: Tally
) -> None:
    """Delete what refers to others first; cascades, signals and `PROTECT` as usual."""
    for table in reversed(ordered):
        items = list(objects.get(table.model, {}).values())
        if items:
            for label, number in _delete(items, alias).items():
                tally.add("removed", label, number)


def _delete(items: list[Model], alias: Alias) -> dict[str, int]:
    collector = Collector(using=alias)
    try:
        collector.collect(items)
    except (ProtectedError, RestrictedError) as error:
        raise _kept_by_others(items, alias, error) from error
    return collector.delete()[1]


def _kept_by_others(
    items: list[Model], alias: Alias, error: ProtectedError | RestrictedError
) -> PublishError:
    if isinstance(error, ProtectedError):
        holders, rule = error.protected_objects, "PROTECT"
    else:
        holders, rule = error.restricted_objects, "RESTRICT"
    by_model: dict[ModelClass, list[Key]] = {}
    for holder in holders:
        by_model.setdefault(type(holder), []).append(holder.pk)
    listed = ", ".join(named(model, keys) for model, keys in by_model.items())
    return PublishError(
        f"{named(type(items[0]), [item.pk for item in items])} can't be removed from "
        f"{alias!r}: {listed} refer to it there ({rule}).",
        hint="Nothing was changed. Unpublish or delete those first.",
    )
