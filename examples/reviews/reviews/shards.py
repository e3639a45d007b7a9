"""Takes SQL, gives the rows of all four shards, one shard after the other.

For what would bring every review together if a queryset asked for it: each shard boils
its own down to a few rows, and whoever asks puts these together.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections, router
from shoal.placement import on_every_shard

from reviews.models import Review


def ask_every_shard(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    alias = router.db_for_write(Review)
    with on_every_shard(alias), connections[alias].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall())
