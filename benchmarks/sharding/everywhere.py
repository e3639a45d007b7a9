"""What needs all shards: the latest rows, a count, groups; and a loop that does it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from operator import attrgetter
from typing import Any

from django.db.models import Avg, Count, Sum

from benchmarks.sharding.floor import Floor, asked_of
from benchmarks.sharding.keyed import NAIVE, ONE_DATABASE
from benchmarks.sharding.measuring import Work
from benchmarks.sharding.places import SHARDS
from benchmarks.sharding.rows import AUTHORS, FOR_EACH_PRODUCT, Sample

LATEST, COUNT = 'order_by("-created")[:20]', "count()"
BY_KEY = "group by product, having"
BY_AUTHOR = "group by author, having"
BY_STARS = "group by stars, having"
MORE_THAN_MOST = 1.2
"""Groups so much larger than the mean pass."""


@dataclass(frozen=True, kw_only=True)
class Question:
    ask: Callable[[Any], Any]
    """Takes a manager or a queryset, and gives the whole answer."""
    merge: Callable[[list[Any]], Any]
    """Takes the partial answers of the shards, as a loop over them has to."""
    part: Callable[[Any], Any]
    """What a shard has to do of it; of a group that goes on elsewhere, all of it."""


def reads(sample: Sample, rival: Any, rounds: int) -> list[Work]:
    from benchmarks.sharding.models import OneReview, Review

    found, floor = [], Floor()
    others = rival.everywhere(sample) if rival else {}
    for name, question in questions(sample.rows).items():
        ways = {
            "sharded": _way(question.ask, Review.objects),
            ONE_DATABASE: _way(question.ask, OneReview.objects),
            NAIVE: _always(partial(_loop, question, Review.objects)),
            **others.get(name, {}),
        }
        parts = {
            alias: _way(question.part, Review.objects.using(alias)) for alias in SHARDS
        }
        asked = asked_of(question.part, Review.objects)
        found.append(
            Work(
                name=name,
                ways=ways,
                parts=parts,
                beside=floor.ways(asked),
                workers=floor.workers(asked),
                right=ONE_DATABASE,
                rounds=rounds,
            )
        )
    return found


def _always(timed: Callable[[], Any]) -> Callable[[int], Callable[[], Any]]:
    return lambda n: timed


def _way(ask: Callable[[Any], Any], rows: Any) -> Callable[[int], Callable[[], Any]]:
    return _always(partial(ask, rows))


def _loop(question: Question, rows: Any) -> Any:
    return question.merge([question.part(rows.using(alias)) for alias in SHARDS])


def questions(rows: int) -> Mapping[str, Question]:
    by_author, by_stars = Groups("author", rows), Groups("stars", rows)
    by_key = Groups("product", rows)
    return {
        LATEST: Question(ask=_pks, part=_latest, merge=_merge_latest),
        COUNT: Question(ask=_count, part=_count, merge=sum),
        BY_KEY: Question(ask=by_key.ask, part=by_key.ask, merge=_sorted),
        BY_AUTHOR: Question(
            ask=by_author.ask, part=by_author.part, merge=by_author.merge
        ),
        BY_STARS: Question(ask=by_stars.ask, part=by_stars.part, merge=by_stars.merge),
    }


def _count(rows: Any) -> int:
    return int(rows.count())


def _latest(rows: Any) -> list[Any]:
    return list(rows.order_by("-created")[:20])


def _pks(rows: Any) -> list[int]:
    return [row.pk for row in _latest(rows)]


def _merge_latest(parts: list[list[Any]]) -> list[int]:
    every = (row for part in parts for row in part)
    return [row.pk for row in nlargest(20, every, key=attrgetter("created"))]


def _sorted(parts: list[list[Any]]) -> list[Any]:
    return sorted(row for part in parts for row in part)


def least(column: str, rows: int) -> int:
    """Return how large a group has to be: less than the mean, or some more."""
    means = {"product": FOR_EACH_PRODUCT, "author": max(rows // AUTHORS, 20)}
    return rows // 6 if column == "stars" else int(means[column] * MORE_THAN_MOST)


class Groups:
    """Rows by a column, with count and mean; only groups that are large enough."""

    def __init__(self, column: str, rows: int) -> None:
        self._column = column
        self.least = least(column, rows)

    def ask(self, rows: Any) -> list[Any]:
        grouped = rows.values(self._column).annotate(n=Count("pk"), mean=Avg("stars"))
        found = grouped.filter(n__gte=self.least)
        return sorted(
            (row[self._column], row["n"], _rounded(row["mean"])) for row in found
        )

    def part(self, rows: Any) -> list[Any]:
        """Ask without the condition, for a group may go on elsewhere."""
        grouped = rows.values_list(self._column)
        return list(grouped.annotate(n=Count("pk"), total=Sum("stars")))

    def merge(self, parts: list[list[Any]]) -> list[Any]:
        return sorted(self._merged(parts))

    def _merged(self, parts: list[list[Any]]) -> Iterator[Any]:
        counts: dict[Any, int] = {}
        totals: dict[Any, int] = {}
        for part in parts:
            for key, count, total in part:
                counts[key] = counts.get(key, 0) + count
                totals[key] = totals.get(key, 0) + total
        for key, count in counts.items():
            if count >= self.least:
                yield key, count, _rounded(totals[key] / count)


def _rounded(mean: Any) -> float:
    """The last digits of a mean are the database's own."""
    return round(float(mean), 9)
