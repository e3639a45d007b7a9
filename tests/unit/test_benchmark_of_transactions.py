"""What the benchmark of transactions makes of what it has measured."""

import pytest
from benchmarks.sharding.measuring import Taken
from benchmarks.transactions.measuring import Unit
from benchmarks.transactions.results import lines, verdict
from benchmarks.transactions.units import (
    BY_ORM,
    DJANGO,
    ONE,
    SEPARATE,
    SHARDED,
    SHOAL,
    TOUCHED,
    named,
)

MET = {
    named(SHOAL, 2): 4.0,
    named(SEPARATE, 2): 2.0,
    named(SHOAL, 4): 4.5,
    named(SEPARATE, 4): 4.0,
    TOUCHED: 1.04,
    DJANGO: 1.0,
    f"{TOUCHED}{BY_ORM}": 1.04,
    f"{DJANGO}{BY_ORM}": 1.0,
}


def units(**changes: float) -> dict[str, Unit]:
    others = {named(name, many): 1.0 for name in (ONE, SHARDED) for many in (2, 4)}
    seconds = {**others, **MET, **changes}
    return {
        name: Unit(whole=Taken(seconds=[time]), end=Taken(seconds=[time]))
        for name, time in seconds.items()
    }


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"shoal, 2": 4.5}, ["shoal, 2"]),
        ({"shoal, 4": 8.1}, ["shoal, 4"]),
        ({TOUCHED: 1.06}, [TOUCHED]),
        ({f"{TOUCHED}{BY_ORM}": 1.06}, [f"{TOUCHED}{BY_ORM}"]),
    ],
    ids=[
        "all met",
        "more at two",
        "at four more than at two",
        "one touched",
        "by the ORM",
    ],
)
def test_targets(changes: dict[str, float], missed: list[str]) -> None:
    found = list(lines("postgresql", units(**changes)))
    assert [line.way for line in found if line.met is False] == missed
    assert verdict(found) == int(bool(missed))


def test_a_line_of_the_record() -> None:
    first = next(iter(lines("mariadb", units())))
    assert first.as_json() == {
        "server": "mariadb",
        "what": "commit",
        "way": "shoal, 2",
        "against": "separate, 2",
        "ms": 4000.0,
        "other_ms": 2000.0,
        "p99": None,
        "other_p99": None,
        "ratio": 2.0,
        "target": "≤ 2.20",
        "met": True,
    }
    assert first.cells()[-3:] == ("2.000", "≤ 2.20", "met")
