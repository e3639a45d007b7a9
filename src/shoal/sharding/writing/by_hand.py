"""Takes keys, gives primary keys for rows that the project writes past the ORM."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Model

from shoal.errors import DeclarationError
from shoal.placement.buckets import BUCKETS
from shoal.placement.layout import layout_of
from shoal.placement.scopes import sharded_cluster_of
from shoal.sharding.writing.ids import Ids


def new_ids(model: type[Model], keys: Sequence[Any]) -> list[int]:
    """
    Return a primary key for each of these keys that no other row has or will get.

    For rows that are sent by COPY to the aliases of shards, for instance: the ORM does
    it by itself. Raises `DeclarationError` unless the model has an automatic primary
    key, and another field for a key.
    """
    cluster = sharded_cluster_of(model)
    layout = layout_of(model, cluster)
    is_keyed = len(layout.key) == 1 and layout.key != layout.primary_key
    if not (layout.allots_ids and is_keyed):
        raise DeclarationError(
            f"{model._meta.label} gets no ids that follow a key: it needs an automatic "
            "primary key, and another field for a key.",
            hint="Create its rows with the ORM: bulk_create() on the sharded alias.",
        )
    numbers = Ids(connections[cluster.name], model, layout).allot(len(keys), None)
    if layout.ids != "bucketed":
        return numbers
    scheme = layout.usable()
    buckets = {key: scheme.bucket(key) for key in set(keys)}
    pairs = zip(numbers, keys, strict=True)
    return [number * BUCKETS + buckets[key] for number, key in pairs]
