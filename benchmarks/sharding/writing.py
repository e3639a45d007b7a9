"""Many rows at once, into empty tables: `bulk_create()` and COPY, beside one table."""

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.sharding.keyed import ONE_DATABASE
from benchmarks.sharding.measuring import Work
from benchmarks.sharding.places import ONE, SHARDS
from benchmarks.sharding.rows import Values, copy, copy_to_shards, drawn

BULK = 100_000
BATCH = 5000
TO_SHARDS, TO_ONE = "COPY to the shards", "COPY to one database"


def bulk(count: int, rounds: int) -> Work:
    """Empties the tables, in each round and at last."""
    from benchmarks.sharding.models import OneReview, Review

    rows = list(drawn(count, seed=2))

    def emptied(timed: Callable[[], Any]) -> Callable[[], Any]:
        empty()
        return timed

    def sharded(n: int) -> Any:
        return emptied(partial(_create, Review, [Review(**r._asdict()) for r in rows]))

    def one(n: int) -> Any:
        made = [OneReview(**row._asdict()) for row in rows]
        return emptied(partial(_create, OneReview, made))

    def copied(n: int) -> Any:
        return emptied(partial(_copy_to_shards, Review, rows))

    def one_copied(n: int) -> Any:
        return emptied(partial(_copy_to_one, OneReview, rows))

    return Work(
        name=f"bulk_create of {count:,}",
        ways={
            "sharded": sharded,
            ONE_DATABASE: one,
            TO_SHARDS: copied,
            TO_ONE: one_copied,
        },
        right=ONE_DATABASE,
        rounds=rounds,
    )


def _create(model: Any, rows: list[Any]) -> int:
    return len(model.objects.bulk_create(rows, batch_size=BATCH))


def _copy_to_shards(model: Any, rows: list[Values]) -> int:
    return len(copy_to_shards(model, rows))


def _copy_to_one(model: Any, rows: list[Values]) -> int:
    copy(model, ONE, enumerate(rows, start=1))
    return len(rows)


def empty() -> None:
    from django.db import connections

    from benchmarks.sharding.models import OneReview, Review

    places = [(ONE, OneReview), *((alias, Review) for alias in SHARDS)]
    for alias, model in places:
        with connections[alias].cursor() as cursor:
            cursor.execute(f"TRUNCATE {model._meta.db_table}")
