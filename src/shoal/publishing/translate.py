"""
Content types and permissions: each edition has rows of its own for them.

Takes what was read from the source, puts in the target's primary keys.
"""

from typing import Any

from django.db.models import ForeignKey

from shoal.errors import PublishError
from shoal.publishing.reading import matching, rows_all
from shoal.publishing.tables import (
    Key,
    ModelClass,
    concrete,
    is_own_to_each_edition,
    lives_on,
    table_of,
)
from shoal.publishing.walk import Copy, Links
from shoal.topology import Cluster
from shoal.types import Alias, ClusterName


class Translation:
    """Keys of the source to keys of the target, by natural key."""

    def __init__(self, source: Cluster, to: Cluster) -> None:
        self.source = source
        self.to = to

    def keys(self, model: ModelClass, keys: set[Key]) -> dict[Key, Key]:
        if not keys:
            return {}
        here = _natural_keys(model, self.source.primary, keys)
        there = {
            natural: key
            for key, natural in _natural_keys(model, self.to.primary, None).items()
        }
        for key in keys:
            if here.get(key) not in there:
                lacking = self.to if key in here else self.source
                raise PublishError(
                    f"{model._meta.label} {here.get(key, key)!r} does not exist in "
                    f"the edition {lacking.role!r} ({lacking.primary!r}).",
                    hint="Run `manage.py shoal migrate`: it makes these rows.",
                )
        return {key: there[natural] for key, natural in here.items()}


def translate(copy: Copy, cluster: ClusterName, by: Translation) -> None:
    """Replace, in everything to be copied, the keys that differ by edition."""
    for model, rows in copy.rows.items():
        for reference in table_of(model, cluster).references:
            if is_own_to_each_edition(reference.target):
                _translate_column(rows, reference.position, reference.target, by)
    for links in copy.links.values():
        _translate_links(links, cluster, by)


def _translate_column(
    rows: dict[Key, Any], position: int, target: ModelClass, by: Translation
) -> None:
    new = by.keys(target, {row[position] for row in rows.values()} - {None})
    for key, row in rows.items():
        value = new.get(row[position])  # None stays None; no other is missing.
        rows[key] = (*row[:position], value, *row[position + 1 :])


def _translate_links(links: Links, cluster: ClusterName, by: Translation) -> None:
    for position, column in enumerate(links.columns):
        end = concrete(column.remote_field.model)
        if is_own_to_each_edition(end) and lives_on(end, cluster):
            new = by.keys(end, {pair[position] for pair in links.pairs})
            links.pairs = {
                (new[one], other) if position == 0 else (one, new[other])
                for one, other in links.pairs
            }


def _natural_keys(
    model: ModelClass, alias: Alias, keys: set[Key] | None
) -> dict[Key, tuple[str, ...]]:
    if keys is None:
        querysets: Any = [rows_all(model, alias)]
    else:
        querysets = matching(model, alias, "pk", keys)
    to_load = [f.name for f in model._meta.fields if isinstance(f, ForeignKey)]
    return {
        item.pk: item.natural_key()
        for queryset in querysets
        for item in (queryset.select_related(*to_load) if to_load else queryset)
    }
