"""What a sharded alias answers, and what one database with the same rows answers."""

import os
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings

from shoal.errors import KeyChangeRefused
from shoal.routing import unguarded
from tests.sharded.answers import Failed, answer, same
from tests.sharded.fixtures import with_ids
from tests.sharded.goods import fill
from tests.sharded.models import MODELS, Product, Review
from tests.sharded.recipes import Recipe, reads, writes
from tests.sharded.shop import SHARDS, SHOP, TWIN, copy_to_twin, empty
from tests.sharded.stored import misplaced, stored, stored_on_shards

N = int(os.environ.get("SHOAL_FUZZ", "0"))
"""How many queries of each kind; `make fuzz` sets it. Else few, always the same."""
KEYS: dict[str, list[Any]] = {}
"""The primary keys that there are, by the name of the model."""


def drawn(few: int) -> Any:
    """Draw N examples, or so few, and then the same ones each time."""
    return settings(
        max_examples=N or few,
        derandomize=not N,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


pytestmark = with_ids("bucketed", "plain")


@pytest.fixture(scope="module", autouse=True)
def goods(open_shop: str) -> None:
    """The same rows on both, for all tests here: what they change is rolled back."""
    empty()
    fill()
    copy_to_twin()
    for model in MODELS:
        pks = model._base_manager.using(TWIN).values_list("pk", flat=True)
        KEYS[model.__name__] = sorted(pks, key=repr)


def test_rows_are_the_same() -> None:
    assert stored(SHOP) == stored(TWIN)
    assert misplaced() == []
    for shard in SHARDS:
        assert Product.objects.using(shard).exists()
    assert Review.objects.using(TWIN).count() == 26


def compare(recipe: Recipe) -> None:
    ours, theirs = (answer(recipe.text, alias, KEYS) for alias in (SHOP, TWIN))
    assert same(ours, theirs, is_ordered=recipe.is_ordered), (
        f"\n    {recipe.text}\nshards: {ours!r}\n  twin: {theirs!r}"
    )


@drawn(60)
@given(recipe=reads())
def test_reads(recipe: Recipe) -> None:
    compare(recipe)


@drawn(25)
@given(recipe=writes(), then=reads())
def test_writes_and_what_is_read_after_them(recipe: Recipe, then: Recipe) -> None:
    with (
        unguarded(TWIN),
        transaction.atomic(using=SHOP),
        transaction.atomic(using=TWIN),
    ):
        ours, theirs = (answer(recipe.text, alias, KEYS) for alias in (SHOP, TWIN))
        if not is_refused(ours):
            shown = f"\n    {recipe.text}\nshards: {ours!r}\n  twin: {theirs!r}"
            assert same(ours, theirs), shown
            rows, faults = stored_on_shards()
            assert faults == [], recipe.text
            if ours == theirs:
                assert rows == stored(TWIN), recipe.text
                compare(then)
        for alias in (SHOP, TWIN):
            transaction.set_rollback(True, using=alias)


def is_refused(given: Any) -> bool:
    """Say whether a row would have to change shards."""
    return isinstance(given, Failed) and isinstance(given.error, KeyChangeRefused)
