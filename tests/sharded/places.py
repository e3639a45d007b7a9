"""Makes rows on the shard that a test wants, and asks each shard what it has."""

import itertools
from typing import Any

from shoal.placement import shard_of
from shoal.placement.buckets import BUCKETS
from tests.sharded.models import Country, Product, Review
from tests.sharded.shop import SHARDS, SHOP

_numbers = itertools.count(1_000_000)


def product_on(shard: str, **values: Any) -> Product:
    """Return a new product whose row is on this shard."""
    while True:
        number = next(_numbers)
        pk = (
            number * BUCKETS + SHARDS.index(shard) * BUCKETS // len(SHARDS) + number % 9
        )
        if shard_of(Product, pk) == shard:
            return Product.objects.using(SHOP).create(pk=pk, **values)


def code_on(shard: str) -> str:
    """Return a text key of that shard, that no row has."""
    codes = (f"c{next(_numbers)}" for _ in itertools.repeat(None))
    return next(code for code in codes if shard_of(Country, code) == shard)


def review_on(shard: str, **values: Any) -> Review:
    product = values.pop("product", None) or product_on(shard)
    review: Review = Review.objects.using(SHOP).create(product=product, **values)
    return review


def names_on(shard: str) -> list[str]:
    """Return the names of the products that one shard has."""
    return sorted(Product.objects.using(shard).values_list("name", flat=True))


def names() -> list[str]:
    return sorted(Product.objects.using(SHOP).values_list("name", flat=True))
