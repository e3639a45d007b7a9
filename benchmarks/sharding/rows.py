"""Takes a number of rows, gives them: the same ones each time, and copied to shards."""

import datetime
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from benchmarks.sharding.places import ONE

BEGAN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FOR_EACH_PRODUCT = 50
"""Reviews, on average."""
AUTHORS = 5000
CHUNK = 50_000
WIDE_PRODUCTS = 1000
"""Products whose reviews are on many shards too."""
TEXTS = 1000
SEED = 7
COLUMNS = ("id", "product", "author", "stars", "text", "created")


class Values(NamedTuple):
    """A row without its primary key."""

    product: int
    author: int
    stars: int
    text: str
    created: datetime.datetime


@dataclass(slots=True)
class Sample:
    """What the calls may ask for: some primary keys and their products."""

    rows: int
    pks: list[int]
    products: list[int]


def drawn(count: int, *, seed: int = SEED) -> Iterator[Values]:
    """Give rows; no two of them are created at the same moment."""
    draw = random.Random(seed)
    products, authors = products_of(count), max(min(AUTHORS, count // 20), 1)
    texts = [("good " * draw.randint(5, 30)).strip() for _ in range(TEXTS)]
    for n in range(count):
        yield Values(
            product=draw.randint(1, products),
            author=draw.randint(1, authors),
            stars=draw.randint(1, 5),
            text=draw.choice(texts),
            created=BEGAN + datetime.timedelta(seconds=n, microseconds=seed),
        )


def products_of(count: int) -> int:
    return max(count // FOR_EACH_PRODUCT, 1)


def load(count: int) -> Sample:
    """Copy all rows to the four shards and to the one database, some to the many."""
    from benchmarks.sharding.models import OneReview, Review, WideReview

    sample = Sample(count, [], [])
    source = drawn(count)
    while chunk := list(islice(source, CHUNK)):
        ids = copy_to_shards(Review, chunk)
        copy(OneReview, ONE, zip(ids, chunk, strict=True))
        copy_to_shards(WideReview, [row for row in chunk if row[0] <= WIDE_PRODUCTS])
        pairs = zip(ids, chunk, strict=True)
        few = [pair for pair in pairs if pair[1].product <= WIDE_PRODUCTS]
        sample.pks += [pk for pk, _ in few]
        sample.products += [row.product for _, row in few]
    _clean_up()
    _shuffle(sample)
    return sample


def copy_to_shards(model: Any, rows: Sequence[Values]) -> list[int]:
    """Send each row to its shard with COPY; return the primary keys, in order."""
    from shoal.placement import shard_of
    from shoal.sharding import new_ids

    ids = new_ids(model, [row.product for row in rows])
    shards = {key: shard_of(model, key) for key in {row.product for row in rows}}
    parts: dict[str, list[tuple[int, Values]]] = {}
    for pair in zip(ids, rows, strict=True):
        parts.setdefault(shards[pair[1].product], []).append(pair)
    for alias, part in parts.items():
        copy(model, alias, part)
    return ids


def copy(model: Any, alias: str, rows: Any) -> None:
    from django.db import connections

    into = f"COPY {model._meta.db_table} ({', '.join(COLUMNS)}) FROM STDIN"
    with connections[alias].cursor() as cursor, cursor.copy(into) as sending:
        for pk, row in rows:
            sending.write_row((pk, *row))


def _clean_up() -> None:
    """Let every server know how its rows lie, as it would after a while."""
    from django.db import connections

    for alias in plain_aliases():
        with connections[alias].cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
    with connections[ONE].cursor() as cursor:
        cursor.execute("CHECKPOINT")


def plain_aliases() -> list[str]:
    from django.db import connections

    return [
        alias
        for alias, entry in connections.settings.items()
        if not entry["ENGINE"].startswith("shoal.")
    ]


def _shuffle(sample: Sample) -> None:
    order = list(range(len(sample.pks)))
    random.Random(SEED).shuffle(order)
    del order[200:]
    sample.pks = [sample.pks[n] for n in order]
    sample.products = [sample.products[n] for n in order]
