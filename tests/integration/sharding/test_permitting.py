"""A query that may not be answered so asks nobody, and says why."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import NotSupportedError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Avg, Count, Window
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from shoal.errors import GatherForbidden, ScatterForbidden
from shoal.placement import on_shard
from shoal.sharding import allow, forbid
from tests.sharded.models import Author, Product, Review
from tests.sharded.places import product_on, review_on
from tests.sharded.shop import SHARDS, SHOP, setting

FIRST, SECOND, THIRD, FOURTH = SHARDS
WAY_OUT = (
    "Filter or join by the key. `manage.py shoal explain` shows the plan. Where it has "
    'to be, say so: `with allow("gather")`.'
)


def gathered() -> list[Any]:
    rows = Review.objects.using(SHOP).filter(author__name="x")
    return list(rows.values_list("pk", flat=True))


def regrouped() -> list[Any]:
    return list(Review.objects.using(SHOP).values("stars").annotate(x=Avg("pk")))


def scattered() -> int:
    return Product.objects.using(SHOP).count()


def on_one() -> list[Any]:
    return list(Product.objects.using(SHOP).filter(pk=4096))


@contextlib.contextmanager
def asking_nobody() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        logs = [
            stack.enter_context(CaptureQueriesContext(connections[shard]))
            for shard in SHARDS
        ]
        yield
    assert [len(log) for log in logs] == [0] * len(SHARDS)


def test_what_would_be_gathered_says_which_tables(shop: str) -> None:
    review_on(SECOND)
    with asking_nobody(), forbid("gather"), pytest.raises(GatherForbidden) as caught:
        gathered()
    assert str(caught.value) == (
        "A query on 'shop' would be gathered, which forbid(\"gather\") forbids: it "
        "needs rows of 'sharded_review' (no key is given), 'sharded_author' (no key "
        f"is given).\nHint: {WAY_OUT}"
    )
    assert isinstance(caught.value, NotSupportedError)
    assert gathered() == []


def test_other_ways_stay_open(shop: str) -> None:
    with forbid("gather"):
        for run in (on_one, scattered, regrouped):
            run()
        with on_shard(SHOP, shard=SECOND):
            assert gathered() == []


@pytest.mark.parametrize("again", [False, True])
def test_what_would_be_scattered_says_which_shards(shop: str, again: bool) -> None:
    if again:
        scattered()
    with asking_nobody(), forbid("scatter"), pytest.raises(ScatterForbidden) as caught:
        scattered()
    assert str(caught.value) == (
        "A query on 'shop' would ask 4 shards ('shop_0', 'shop_1', 'shop_2', "
        "'shop_3'), which forbid(\"scatter\") forbids: no key is given.\n"
        "Hint: Filter by the key. `manage.py shoal explain` shows the plan. Where it "
        'has to be, say so: `with allow("scatter")`.'
    )
    with forbid("scatter"):
        for run in (regrouped, gathered):
            with asking_nobody(), pytest.raises(ScatterForbidden):
                run()
        on_one()
        with on_shard(SHOP, shard=SECOND):
            scattered()


def test_the_inner_block_counts(shop: str) -> None:
    with forbid("scatter"):
        with allow("scatter"):
            scattered()
            with pytest.raises(GatherForbidden):
                gathered()
        with allow("gather"):
            gathered()
            scattered()
            with forbid("gather"), pytest.raises(GatherForbidden):
                gathered()
            with forbid("gather"):
                scattered()
        with pytest.raises(ScatterForbidden):
            scattered()
    gathered()


def test_a_setting_forbids_for_all(shop: str) -> None:
    with override_settings(SHOAL=setting(GATHER="error")):
        scattered()
        with pytest.raises(GatherForbidden, match='which "GATHER": "error" forbids'):
            gathered()
        with allow("gather"):
            gathered()
    with override_settings(SHOAL=setting(SCATTER="error")):
        with pytest.raises(ScatterForbidden, match='which "SCATTER": "error" forbids'):
            scattered()
        with pytest.raises(ScatterForbidden, match='which "SCATTER": "error" forbids'):
            gathered()
        on_one()
        with allow("scatter"):
            scattered()
            with pytest.raises(GatherForbidden):
                gathered()


def test_migrate_finds_out_what_is_applied(shop: str) -> None:
    recorder = MigrationRecorder(connections[SHOP])
    recorder.ensure_schema()
    try:
        recorder.record_applied("sharded", "0001_initial")
        with override_settings(SHOAL=setting(SCATTER="error", GATHER="error")):
            assert ("sharded", "0001_initial") in recorder.applied_migrations()
    finally:
        with connections[SHOP].schema_editor() as editor:
            editor.delete_model(recorder.Migration)


def test_as_decorators_sync_and_async(shop: str) -> None:
    @forbid("gather")
    def plain() -> Any:
        return gathered()

    @forbid("scatter", "gather")
    async def counted() -> int:
        return await Product.objects.using(SHOP).acount()

    async def in_a_block() -> int:
        async with forbid("scatter"):
            async with allow("scatter"):
                found = await Product.objects.using(SHOP).acount()
            await counted()
        return found

    with pytest.raises(GatherForbidden):
        plain()
    with pytest.raises(ScatterForbidden):
        async_to_sync(counted)()
    with pytest.raises(ScatterForbidden):
        async_to_sync(in_a_block)()
    assert scattered() == 0


def test_a_write_that_has_to_gather_is_refused_before_it_writes(shop: str) -> None:
    author = Author.objects.using(SHOP).create(name="x")
    review = review_on(SECOND, author=author, stars=1)
    with forbid("gather"), pytest.raises(GatherForbidden):
        Review.objects.using(SHOP).filter(author__name="x").update(stars=2)
    review.refresh_from_db(using=SHOP)
    assert review.stars == 1


def test_a_transaction_goes_on(shop: str) -> None:
    with transaction.atomic(using=SHOP):
        product_on(THIRD, name="a")
        with forbid("gather"), pytest.raises(GatherForbidden):
            gathered()
        product_on(FOURTH, name="b")
    assert scattered() == 2


def test_a_plan_may_be_looked_at(shop: str) -> None:
    rows = Product.objects.using(SHOP).annotate(n=Window(Count("pk")))
    with forbid("scatter"):
        assert rows.explain().startswith("Gathered from ")
    if shop != "sqlite":
        with forbid("gather"), pytest.raises(GatherForbidden):
            rows.explain(analyze=True)


def test_what_is_no_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"forbid\('gahter'\): .* mean 'gather'\?"):
        forbid("gahter")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'allow\(\) takes "scatter", "gather" or both'):
        allow()
