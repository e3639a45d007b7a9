"""How buckets are shared out, and what a map answers."""

import math

import pytest
from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from shoal.placement.buckets import BUCKETS, BucketMap, Range, even_map


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 64, 1000, 4095, 4096])
def test_an_even_map_is_even_and_complete(count: int) -> None:
    shards = [f"shop_{i}" for i in range(count)]
    even = even_map(shards)
    assert even.version == 1
    for i, part in enumerate(even.ranges):
        assert part.shard == shards[i]
        assert part.first == math.ceil(i * 4096 / count)
        assert part.last == math.ceil((i + 1) * 4096 / count) - 1
        assert even.shard_of(part.first) == even.shard_of(part.last) == shards[i]
    sizes = {len(even.buckets_of(shard)) for shard in shards}
    assert max(sizes) - min(sizes) <= 1
    assert sum(len(even.buckets_of(shard)) for shard in shards) == BUCKETS


def test_a_shard_may_have_several_ranges_or_none() -> None:
    uneven = BucketMap(
        version=7,
        ranges=(Range(0, 9, "a"), Range(10, 19, "b"), Range(20, 4095, "a")),
    )
    assert uneven.shard_of(9) == uneven.shard_of(20) == uneven.shard_of(4095) == "a"
    assert {uneven.shard_of(10), uneven.shard_of(19)} == {"b"}
    assert uneven.buckets_of("b") == frozenset(range(10, 20))
    assert uneven.buckets_of("a") == frozenset(range(BUCKETS)) - uneven.buckets_of("b")
    assert uneven.buckets_of("c") == frozenset()


def test_maps_are_equal_by_what_they_say() -> None:
    assert even_map(["a", "b"]) == even_map(("a", "b"))
    assert even_map(["a", "b"]) != even_map(["b", "a"])
    assert repr(even_map(["a"])) == (
        "BucketMap(version=1, ranges=(Range(first=0, last=4095, shard='a'),))"
    )


def test_the_migrations_make_what_the_models_say() -> None:
    before = MigrationLoader(None).project_state()
    after = ProjectState.from_apps(apps)
    changes = MigrationAutodetector(before, after).changes(
        graph=MigrationLoader(None).graph
    )
    assert "shoal" not in changes
