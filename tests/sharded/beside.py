"""
Takes a query, gives the answer of the sharded alias, how it was found, and whether the
twin has the same.
"""

import datetime
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.sharded.models import Book, Category, Review, Stock
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP, TWIN, copy_to_twin, routed_to

UTC = datetime.UTC


@pytest.fixture
def goods(shop: str) -> str:
    """Some products on each shard, with reviews, NULLs and equal values, and a twin."""
    categories = [Category.objects.using(SHOP).create(name=n) for n in "xy"]
    made = [
        product_on(
            SHARDS[number % 4],
            name=f"n{number % 7}",
            category=categories[number % 2] if number % 5 else None,
            price=None if number % 6 == 0 else Decimal(number % 5) / 4,
            weight=None if number % 8 == 0 else (number % 3) / 3,
            active=number % 3 == 0,
            added=datetime.datetime(2024, 1, 1 + number % 4, number, tzinfo=UTC),
            day=datetime.date(2024, 1, 1 + number % 9),
        )
        for number in range(24)
    ]
    for number, product in enumerate(made[:16]):
        for stars in range(number % 4):
            Review.objects.using(SHOP).create(
                product=product, stars=stars if stars else None, text=f"t{stars}"
            )
        for shelf in "aB"[: number % 3]:
            Stock.objects.using(SHOP).create(product=product, shelf=shelf, amount=1)
    Book.objects.using(SHOP).create(name="n3", pages=3, price=1)
    copy_to_twin()
    return shop


def rows_of(made: Callable[[], Any], alias: str) -> list[Any]:
    with routed_to(alias):
        found = made()
        if isinstance(found, dict | int | bool):
            return [found]
        return list(found.using(alias))


@pytest.fixture
def asked(caplog: pytest.LogCaptureFixture) -> Callable[[Any], tuple[str, list[Any]]]:
    """Give a function that asks the sharded alias, and says how it was answered."""

    def asked(made: Any) -> tuple[str, list[Any]]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="shoal.sharding"):
            found = rows_of(made, SHOP)
        told = [vars(r) for r in caplog.records if r.name == "shoal.sharding"]
        return told[0]["event"], found

    return asked


def same(made: Callable[[], Any], found: list[Any]) -> bool:
    expected = rows_of(made, TWIN)
    if not getattr(made(), "ordered", True):
        return sorted(map(repr, found)) == sorted(map(repr, expected))
    return found == expected
