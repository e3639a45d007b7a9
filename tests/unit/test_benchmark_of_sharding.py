"""What the benchmark of sharding makes of what it has measured."""

from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.sharding.everywhere import questions
from benchmarks.sharding.measuring import SLOWEST, Taken, Way, Work, measure
from benchmarks.sharding.results import Line, Target, verdict
from benchmarks.sharding.rows import drawn

from shoal.errors import GatherTooLarge

ROUNDS = 5


def way(answer: Any, done: list[str] | None = None, name: str = "") -> Way:
    def timed() -> Any:
        if done is not None:
            done.append(name)
        return answer

    return lambda n: timed


def refuse(n: int) -> Callable[[], Any]:
    def timed() -> Any:
        raise GatherTooLarge("Too many rows.")

    return timed


def line(ours: Taken, other: Taken, target: Target | None = None) -> Line:
    return Line(work="count()", against="other", ours=ours, other=other, target=target)


def test_all_ways_take_turns() -> None:
    done: list[str] = []
    ways = {name: way(7, done, name) for name in ("sharded", "one", "naive")}
    taken = measure(Work(name="count()", ways=ways, right="one", rounds=ROUNDS))
    assert [len(one.seconds) for one in taken.values()] == [ROUNDS] * 3
    turns = [frozenset(done[n : n + 3]) for n in range(0, len(done), 3)]
    assert turns == [frozenset(ways)] * (ROUNDS + 1)


def test_who_is_refused_is_not_asked_again() -> None:
    ways = {"sharded": refuse, "one": way(7)}
    taken = measure(Work(name="count()", ways=ways, right="one", rounds=ROUNDS))
    assert taken["sharded"] == Taken(refused="GatherTooLarge")
    assert taken["one"].median is not None


def test_another_answer_than_that_of_one_database_is_wrong() -> None:
    ways = {"sharded": way([1, 2]), "one": way([1, 2]), "naive": way([2, 1])}
    taken = measure(Work(name="latest", ways=ways, right="one", rounds=ROUNDS))
    assert [one.wrong for one in taken.values()] == [False, False, True]
    assert taken["naive"].median is None


def test_an_error_that_is_none_of_shoals_is_not_hidden() -> None:
    def broken(n: int) -> Callable[[], Any]:
        return lambda: 1 / 0

    with pytest.raises(ZeroDivisionError):
        measure(Work(name="count()", ways={"sharded": broken}, rounds=ROUNDS))


def test_of_the_shards_the_slowest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}

    def lasting(seconds: float) -> Way:
        def timed() -> None:
            clock["now"] += seconds

        return lambda n: timed

    monkeypatch.setattr("time.perf_counter", lambda: clock["now"])
    parts = {"reviews_0": lasting(0.25), "reviews_1": lasting(0.5)}
    work = Work(
        name="count()", ways={"sharded": lasting(1.0)}, parts=parts, rounds=ROUNDS
    )
    taken = measure(work)
    assert set(taken) == {"sharded", SLOWEST}
    assert taken[SLOWEST].median == 0.5


@pytest.mark.parametrize(
    ("target", "ours", "ratio", "met"),
    [
        (Target(limit=1.1), 1.0, 0.5, True),
        (Target(limit=1.1), 2.4, 1.2, False),
        (Target(limit=0.9, is_rate=True), 2.0, 1.0, True),
        (Target(limit=2.5, is_rate=True), 1.0, 2.0, False),
        (None, 3.0, 1.5, None),
    ],
)
def test_a_ratio_and_its_target(
    target: Target | None, ours: float, ratio: float, met: bool | None
) -> None:
    found = line(Taken([ours] * 3), Taken([2.0] * 3), target)
    assert found.ratio == ratio
    assert found.met is met
    assert verdict([found]) == int(met is False)


def test_a_rate_says_that_it_is_one() -> None:
    shown = [str(Target(limit=0.9, is_rate=True)), str(Target(limit=1.1))]
    assert shown == ["≥ 0.90 of the rate", "≤ 1.10"]


def test_what_is_refused_is_missed_and_has_no_numbers() -> None:
    ours = Taken(refused="GatherTooLarge")
    found = line(ours, Taken([0.002] * 3), Target(limit=1.5))
    assert found.cells()[2:4] == ("refused: GatherTooLarge", "2")
    assert verdict([found]) == 1
    assert found.as_json() == {
        "work": "count()",
        "against": "other",
        "sharded_ms": None,
        "other_ms": 2.0,
        "sharded_p99": None,
        "other_p99": None,
        "ratio": None,
        "target": "≤ 1.50",
        "met": False,
        "refused": "GatherTooLarge",
        "wrong": [],
    }


def test_a_wrong_rival_misses_nothing_for_shoal() -> None:
    found = line(Taken([0.002] * 3), Taken(wrong=True), Target(limit=1.5))
    assert found.cells()[2:4] == ("2", "wrong")
    assert found.met is None
    assert found.as_json()["wrong"] == ["other"]


def test_few_rounds_have_no_slowest_hundredth() -> None:
    assert Taken([1.0] * 99).p99 is None
    assert Taken([1.0] * 199 + [9.0] * 3).p99 == 9.0


def test_the_rows_are_the_same_each_time() -> None:
    first, second = (list(drawn(1000)) for _ in range(2))
    assert first == second
    assert len({row.created for row in first}) == 1000


def test_the_loop_merges_groups_that_go_on_elsewhere() -> None:
    by_author = questions(100)["group by author, having"]
    parts = [[(1, 20, 60), (2, 3, 9)], [(1, 10, 60), (3, 30, 90)]]
    assert by_author.merge(parts) == [(1, 30, 4.0), (3, 30, 3.0)]
