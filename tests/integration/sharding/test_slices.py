"""Slices of queries that join what lies elsewhere: only what is on them is brought."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, F, Q, Window
from django.test.utils import CaptureQueriesContext

from shoal.errors import GatherForbidden, GatherTooLarge
from shoal.sharding import forbid
from tests.integration.sharding.test_gathering import limited
from tests.sharded.beside import rows_of, same
from tests.sharded.models import Author, Product, Review
from tests.sharded.places import product_on, review_on
from tests.sharded.shop import SHARDS, SHOP, TWIN, copy_to_twin, routed_to

reviews, products = Review.objects, Product.objects


@pytest.fixture
def written(shop: str) -> str:
    """Reviews on all shards, with authors who lie by another key."""
    authors = [Author.objects.using(SHOP).create(name=f"a{n}") for n in range(5)]
    for number in range(24):
        product = product_on(SHARDS[number % 4], name=f"p{number % 3}")
        review_on(
            product._state.db if product._state.db in SHARDS else SHARDS[number % 4],
            product=product,
            author=authors[number % 5] if number % 7 else None,
            stars=number % 6,
            text=f"t{number % 5}",
        )
    copy_to_twin()
    return shop


def with_authors() -> Any:
    return reviews.select_related("author")


SLICES: dict[str, Callable[[], Any]] = {
    "the first": lambda: with_authors().order_by("-stars", "pk")[:4],
    "from the middle": lambda: with_authors().order_by("stars", "-pk")[3:7],
    "by texts": lambda: with_authors().order_by("text", "pk")[2:5],
    "filtered": lambda: (
        with_authors().filter(Q(stars=5) | Q(stars=1)).order_by("pk")[:3]
    ),
    "further than there are rows": lambda: with_authors().order_by("pk")[20:30],
    "behind all rows": lambda: with_authors().order_by("pk")[50:60],
    "nothing": lambda: with_authors().order_by("pk").filter(stars=17)[:4],
    "some columns": lambda: (
        with_authors().only("stars", "author__name").order_by("-stars", "pk")[:4]
    ),
    "with the product": lambda: (
        reviews.select_related("author", "product").order_by("-stars", "pk")[:4]
    ),
}  # fmt: skip


def named(row: Any) -> Any:
    return row.pk, row.stars, row.author and row.author.name


@pytest.mark.parametrize("name", SLICES)
def test_a_slice_brings_its_rows_alone(written: str, name: str) -> None:
    assert same(SLICES[name], rows_of(SLICES[name], SHOP))
    with forbid("gather"), pytest.raises(GatherForbidden):
        list(SLICES[name]().using(SHOP))
    with routed_to(TWIN):
        theirs = [named(row) for row in SLICES[name]().using(TWIN)]
    high = SLICES[name]().query.high_mark
    with limited(24 if high < 10 else 40):
        assert [named(row) for row in SLICES[name]().using(SHOP)] == theirs


def test_without_a_slice_all_are_brought(written: str) -> None:
    with limited(14), pytest.raises(GatherTooLarge):
        list(with_authors().using(SHOP))


def test_rows_that_a_join_leaves_out_make_room(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inner join has no row where no author is."""
    monkeypatch.setattr(Review._meta.get_field("author"), "null", False)

    def made() -> Any:
        return with_authors().order_by("stars", "pk")[1:6]

    assert "INNER JOIN" in sent(made)
    first = reviews.using(TWIN).order_by("stars", "pk")[:6]
    assert None in {row.author_id for row in first}
    assert same(made, rows_of(made, SHOP))


def sent(made: Callable[[], Any]) -> str:
    with CaptureQueriesContext(connections[SHOP]) as log:
        list(made().using(SHOP))
    return str(log[-1]["sql"])


def test_counts_as_one_query(written: str) -> None:
    rows = with_authors().using(SHOP).order_by("pk")[:3]
    with CaptureQueriesContext(connections[SHOP]) as log:
        assert len(list(rows)) == 3
    assert len(log) == 1
    assert "LIMIT 3" in log[0]["sql"]


def test_sees_what_its_transaction_has_written(written: str) -> None:
    with transaction.atomic(using=SHOP):
        reviews.using(SHOP).update(stars=1)
        one = with_authors().using(SHOP).order_by("pk")[2]
        reviews.using(SHOP).filter(pk=one.pk).update(stars=9)
        best = with_authors().using(SHOP).order_by("-stars", "pk")[:2]
        assert best[0].pk == one.pk
        transaction.set_rollback(True, using=SHOP)


def test_its_plan_says_so(written: str) -> None:
    sliced = with_authors().using(SHOP).order_by("pk")
    assert "of these only those of the slice" in sliced[:3].explain()
    assert "of the slice" not in sliced.explain()


def test_a_window_orders_by_all_rows(shop: str) -> None:
    """Over the rows of a slice alone it would have other values."""
    product = product_on(SHARDS[1])
    author = Author.objects.using(SHOP).create(name="a")
    for stars in (1, 1, 1, 5, 5, 5, 5, 5, 5):
        review_on(SHARDS[1], product=product, author=author, stars=stars)
    copy_to_twin()

    def made() -> Any:
        count = Window(Count("pk"), partition_by=F("stars"))
        return with_authors().filter(product=product).order_by(count, "pk")[3:5]

    found = rows_of(made, SHOP)
    assert [row.stars for row in found] == [5, 5]
    assert same(made, found)


def test_a_slice_of_a_table_of_which_each_shard_has_its_own(written: str) -> None:
    rows = MigrationRecorder.Migration.objects.using(SHOP)
    with connections[SHOP].schema_editor() as editor:
        editor.create_model(MigrationRecorder.Migration)
    try:
        assert not rows.exists()
        assert rows.first() is None
        assert list(rows[:5]) == []
    finally:
        with connections[SHOP].schema_editor() as editor:
            editor.delete_model(MigrationRecorder.Migration)
