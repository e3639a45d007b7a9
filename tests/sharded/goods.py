"""Takes a seed, fills the shop on the sharded alias: many ties, nulls and odd texts."""

import datetime
import functools
import itertools
import random
import uuid
from decimal import Decimal
from typing import Any

from django.db import connections, transaction

from shoal.placement.buckets import BUCKETS
from shoal.placement.sequences import restart
from tests.sharded.models import (
    Author,
    Book,
    Category,
    Country,
    Holiday,
    Product,
    Review,
    Stock,
    Tag,
)
from tests.sharded.shop import SHARDS, SHOP, cluster, tables

TEXTS = ("", "a", "b", "ab", "ü", "%", "_x", "O'x", "10", "9")
IN_TWO_CASES = (*TEXTS, "A", "B ")
"""Not on MariaDB, where they equal others: of equal ones any is a right answer."""
NUMBERS = (-3, 0, 1, 1, 2, 5, None)
PRICES = (*map(Decimal, ("0.00", "0.10", "1.50", "1.50", "99.99")), None)
WEIGHTS = (-0.25, 0.0, 0.5, 1.5, None)
CODES = ("de", "fr", "", "x")
DAYS = (datetime.date(2023, 12, 31), datetime.date(2024, 2, 29), None)
TIMES = (
    datetime.datetime(2023, 12, 31, 23, 59, 59, 5, tzinfo=datetime.UTC),
    datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
    None,
)
JSONS: tuple[Any, ...] = (None, {}, {"a": 1}, {"a": None, "b": [1, 2]}, {"a": "x"})


def fill(seed: int = 0) -> None:
    """Make rows, the same for the same seed: their ids begin anew."""
    for table in tables():
        restart(cluster(), table)
    with transaction.atomic(using=SHOP):
        _Filling(random.Random(seed)).run()


class _Filling:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers = itertools.count(1)
        self._within = functools.partial(chance.randrange, BUCKETS // len(SHARDS))
        self._any = chance.choice
        self._of = chance.sample
        folds = connections[SHOP].vendor == "mysql"
        self._texts = TEXTS if folds else IN_TWO_CASES

    def run(self) -> None:
        make: Any = self._make
        tags = [make(Tag, name=self._text()) for _ in range(6)]
        categories: list[Any] = []
        for _ in range(4):
            rank, parent = self._any(NUMBERS), self._or_none(categories)
            one = make(Category, name=self._text(), rank=rank, parent=parent)
            one.tags.set(self._of(tags, 2))
            categories.append(one)
        products: list[Any] = []
        books: list[Any] = []
        for number in range(14):
            own = {
                "name": self._text(),
                "category": self._or_none(categories),
                "rival": self._or_none(products),
                "price": self._any(PRICES),
                "weight": self._any(WEIGHTS),
                "active": self._any((True, False)),
                "added": self._any(TIMES),
                "day": self._any(DAYS),
                "data": self._any(JSONS),
            }
            if number % 3:
                products.append(make(Product, **own))
            else:
                more = {"pages": self._any(NUMBERS), "sequel": self._or_none(books)}
                books.append(make(Book, **own, **more))
                products.append(Product.objects.using(SHOP).get(pk=books[-1].pk))
            products[-1].tags.set(self._of(tags, number % 4))
        countries = [make(Country, code=code, name=self._text()) for code in CODES]
        authors = [
            make(
                Author,
                id=uuid.UUID(int=self._chance.getrandbits(128), version=4),
                name=self._text(),
                country=self._or_none(countries),
                favourite=self._or_none(products),
            )
            for _ in range(7)
        ]
        self._review(products[:-2], authors[:-1])
        for product, shelf in itertools.product(products[::3], ("a", "b")):
            make(Stock, product=product, shelf=shelf, amount=self._any(NUMBERS) or 0)
        for day in (1, 2, 3):
            make(Holiday, day=datetime.date(2024, 2, 27 + day - 1), name=self._text())

    def _review(self, products: list[Any], authors: list[Any]) -> None:
        reviews: list[Any] = []
        for _ in range(26):
            review = Review(
                product=self._any(products),
                author=self._or_none(authors),
                answers=self._or_none(reviews),
                stars=self._any(NUMBERS),
                text=self._text(),
                written=self._any(TIMES[:2]),
            )
            review.save(using=SHOP)
            reviews.append(review)

    def _make(self, model: Any, **values: Any) -> Any:
        if model in (Tag, Product, Book) and cluster().ids == "bucketed":
            # Left to itself, the first thousand are on one shard.
            values["pk"] = self._spread_id()
        return model.objects.using(SHOP).create(**values)

    def _spread_id(self) -> int:
        number = next(self._numbers)
        first = number % len(SHARDS) * BUCKETS // len(SHARDS)
        return number * BUCKETS + first + self._within()

    def _text(self) -> str:
        return self._any(self._texts)

    def _or_none(self, rows: list[Any]) -> Any:
        return self._any([*rows[-5:], None])
