"""What names its key: by one shard's alias, by the sharded alias, by the others."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.sharding.measuring import Way, Work
from benchmarks.sharding.places import SHARDS
from benchmarks.sharding.rows import Sample, Values, drawn

USING, ONE_DATABASE, NAIVE = "using(shard)", "one database", "naive loop"
FOUR = "four shards"
GET, FILTER, CREATE = "get(pk=…)", "filter(product=…)[:20]", "create()"
FOUND = 20


def reads(sample: Sample, rival: Any, rounds: int) -> list[Work]:
    found = {GET: _getting(sample), FILTER: _filtering(sample)}
    others = rival.reads(sample) if rival else {}
    return [
        Work(
            name=name,
            ways={**ways, **others.get(name, {})},
            right=ONE_DATABASE,
            rounds=rounds,
        )
        for name, ways in found.items()
    ]


def _getting(sample: Sample) -> Mapping[str, Way]:
    from benchmarks.sharding.models import OneReview, Review

    def get(n: int) -> Any:
        return partial(_pk, Review.objects, _at(sample.pks, n))

    def using(n: int) -> Any:
        return partial(_pk, Review.objects.using(shard(sample, n)), _at(sample.pks, n))

    def one(n: int) -> Any:
        return partial(_pk, OneReview.objects, _at(sample.pks, n))

    def naive(n: int) -> Any:
        return partial(_search, Review.objects, _at(sample.pks, n))

    return {"sharded": get, USING: using, ONE_DATABASE: one, NAIVE: naive}


def _pk(rows: Any, pk: int) -> Any:
    return rows.get(pk=pk).pk


def _search(rows: Any, pk: int) -> Any:
    """Ask one shard after the other."""
    for alias in SHARDS:
        row = rows.using(alias).filter(pk=pk).first()
        if row is not None:
            return row.pk
    return None


def _filtering(sample: Sample) -> Mapping[str, Way]:
    from benchmarks.sharding.models import OneReview, Review

    def filtered(n: int) -> Any:
        return partial(first_of, Review.objects, _at(sample.products, n))

    def using(n: int) -> Any:
        rows = Review.objects.using(shard(sample, n))
        return partial(first_of, rows, _at(sample.products, n))

    def one(n: int) -> Any:
        return partial(first_of, OneReview.objects, _at(sample.products, n))

    return {"sharded": filtered, USING: using, ONE_DATABASE: one}


def first_of(rows: Any, product: int) -> list[Any]:
    """Make objects of some rows of a product."""
    found = rows.filter(product=product).order_by("created")[:FOUND]
    return [row.pk for row in found]


def wide(sample: Sample, many: int, rounds: int) -> Work:
    """The same on four shards and on many. Their primary keys are not the same."""
    from benchmarks.sharding.models import Review, WideReview

    def on_many(n: int) -> Any:
        return partial(_texts, WideReview.objects, _at(sample.products, n))

    def on_four(n: int) -> Any:
        return partial(_texts, Review.objects, _at(sample.products, n))

    return Work(
        name=f"{FILTER}, {many} shards",
        ways={"sharded": on_many, FOUR: on_four},
        right=FOUR,
        rounds=rounds,
    )


def _texts(rows: Any, product: int) -> list[Any]:
    found = rows.filter(product=product).order_by("created")[:FOUND]
    return [row.text for row in found]


def creating(sample: Sample, rival: Any, rounds: int) -> Work:
    from benchmarks.sharding.models import OneReview, Review

    rows = list(drawn(len(sample.products), seed=1))

    def values(n: int) -> dict[str, Any]:
        row: Values = _at(rows, n)
        return {**row._asdict(), "product": _at(sample.products, n)}

    def create(n: int) -> Any:
        return partial(Review.objects.create, **values(n))

    def using(n: int) -> Any:
        return partial(Review.objects.using(shard(sample, n)).create, **values(n))

    def one(n: int) -> Any:
        return partial(OneReview.objects.create, **values(n))

    ways = {"sharded": create, USING: using, ONE_DATABASE: one}
    others = rival.creating(values) if rival else {}
    return Work(name=CREATE, ways={**ways, **others}, rounds=rounds)


def shard(sample: Sample, n: int) -> str:
    from benchmarks.sharding.models import Review
    from shoal.placement import shard_of

    return shard_of(Review, _at(sample.products, n))


def _at(values: Any, n: int) -> Any:
    return values[n % len(values)]
