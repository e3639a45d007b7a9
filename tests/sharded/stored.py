"""Tells all rows of all tables, and which of them are on a shard that is not theirs."""

from itertools import chain
from typing import Any

from shoal.placement.buckets import bucket_map
from shoal.placement.layout import Layout, bucket_of, layout_of
from tests.sharded.shop import SHARDS, cluster, every_model

Row = tuple[Any, ...]


def stored(alias: str) -> dict[str, list[Row]]:
    """Return all rows, as a sharded alias or a single database says."""
    return {model._meta.label: _rows(alias, model) for model in every_model()}


def stored_on_shards() -> tuple[dict[str, list[Row]], list[str]]:
    """Return all rows, as each shard says, and what is wrong with where they are."""
    found: dict[str, list[Row]] = {}
    faults: list[str] = []
    for model in every_model():
        layout = layout_of(model, cluster())
        rows = {shard: _rows(shard, model) for shard in SHARDS}
        faults += _faults(model, layout, rows)
        if layout.kind == "reference":
            found[model._meta.label] = rows[SHARDS[0]]
        else:
            found[model._meta.label] = sorted(chain(*rows.values()), key=repr)
    return found, faults


def misplaced() -> list[str]:
    """Say which rows are on a shard where they don't belong, or not where they do."""
    return stored_on_shards()[1]


def _rows(alias: str, model: Any) -> list[Row]:
    names = [field.attname for field in model._meta.local_concrete_fields]
    return sorted(model._base_manager.using(alias).values_list(*names), key=repr)


def _faults(model: Any, layout: Layout, rows: dict[str, list[Row]]) -> list[str]:
    home = SHARDS[0]
    if layout.kind == "reference":
        differ = [shard for shard in SHARDS if rows[shard] != rows[home]]
        return [f"{layout.model}: {shard} differs from home" for shard in differ]
    return [
        f"{layout.model}: {row} is on {shard}"
        for shard in SHARDS
        for row in rows[shard]
        if shard != (home if layout.kind == "home" else _shard_of(model, layout, row))
    ]


def _shard_of(model: Any, layout: Layout, row: Row) -> str:
    columns = [field.column for field in model._meta.local_concrete_fields]
    values = dict(zip(columns, row, strict=True))
    return bucket_map(cluster()).shard_of(bucket_of(layout, values))
