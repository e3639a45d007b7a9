"""The shop on SQLite files, which need no server, always with the same few rows."""

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from tests.sharded.models import (
    Author,
    Book,
    Category,
    Country,
    Product,
    Review,
    Stock,
    Tag,
)
from tests.sharded.shop import SHARDS, SHOP, SINGLE, shop_on

from shoal.placement.buckets import BUCKETS


@pytest.fixture(scope="module")
def rows(tmp_path_factory: Any, django_db_blocker: Any) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("cases")
    engine = "django.db.backends.sqlite3"
    files = {a: {"ENGINE": engine, "NAME": f"{folder}/{a}.db"} for a in SINGLE}
    with django_db_blocker.unblock(), shop_on(files):
        make_rows()
        yield


@pytest.fixture
def shop(rows: None) -> Iterator[None]:
    """What a test changes is rolled back."""
    with transaction.atomic(using=SHOP):
        yield
        transaction.set_rollback(True, using=SHOP)


def on(number: int, shard: int) -> int:
    """Return an id that belongs on this shard."""
    return number * BUCKETS + shard * BUCKETS // len(SHARDS)


def make_rows() -> None:
    """Four products `p0` to `p3`, each on a shard of its own; `p3` is a book."""
    tools, toys = (
        make(Category, pk=n, name=name, rank=n)
        for n, name in ((1, "tools"), (2, "toys"))
    )
    red, big = make(Tag, pk=on(1, 2), name="red"), make(Tag, pk=on(2, 0), name="big")
    given = [
        {"category": tools, "price": Decimal("1.50"), "weight": 0.5},
        {"category": toys, "price": None, "weight": 1.5, "active": False},
        {"category": None, "price": Decimal("1.50"), "weight": None},
        {"category": tools, "price": Decimal("9.00"), "weight": 2.0, "pages": 7},
    ]
    products = []
    for n, values in enumerate(given):
        model = Book if "pages" in values else Product
        pk, day = on(10 + n, n), datetime.date(2024, 1 + n, 1)
        products.append(make(model, pk=pk, name=f"p{n}", day=day, **values))
    products[0].tags.set([red, big])
    products[2].tags.set([red])
    for n in (1, 2):
        products[n].rival_id = products[n - 1].pk
        products[n].save()
    Country.objects.using(SHOP).create(code="de", name="Germany")
    ann, bob = (
        make(Author, id=uuid.UUID(int=n), name=name, country_id="de")
        for n, name in ((1, "ann"), (9, "bob"))
    )
    for n, product, author, stars in (
        (1, 0, ann, 5),
        (2, 0, bob, 1),
        (3, 1, ann, None),
        (4, 3, None, 3),
        (5, 3, bob, 5),
    ):
        pk = on(n, product)
        text = f"r{n}"
        product_id = products[product].pk
        make(
            Review, pk=pk, product_id=product_id, author=author, stars=stars, text=text
        )
    make(Stock, product_id=products[0].pk, shelf="a", amount=3)
    make(Stock, product_id=products[3].pk, shelf="b", amount=4)


def make(model: Any, **values: Any) -> Any:
    return model.objects.using(SHOP).create(**values)
