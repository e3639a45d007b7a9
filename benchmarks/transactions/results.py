"""Takes what each way took, gives lines with their targets, a table and the record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import tables
from benchmarks.sharding.measuring import Taken
from benchmarks.sharding.results import Target
from benchmarks.transactions.measuring import Unit
from benchmarks.transactions.places import MANY
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

COMMIT, WHOLE = "commit", "whole unit"
OF_TWO = Target(limit=2.2)
OF_ONE = Target(limit=1.05)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way beside another."""

    kind: str
    what: str
    way: str
    against: str
    ours: Taken
    other: Taken
    limit: Target | None = None

    @property
    def ratio(self) -> float:
        return (self.ours.median or 0.0) / (self.other.median or 1.0)

    @property
    def met(self) -> bool | None:
        return None if self.limit is None else self.limit.is_met(self.ratio)

    def as_json(self) -> dict[str, Any]:
        return {
            "server": self.kind,
            "what": self.what,
            "way": self.way,
            "against": self.against,
            "ms": _ms(self.ours.median),
            "other_ms": _ms(self.other.median),
            "p99": _ms(self.ours.p99),
            "other_p99": _ms(self.other.p99),
            "ratio": round(self.ratio, 3),
            "target": None if self.limit is None else str(self.limit),
            "met": self.met,
        }

    def cells(self) -> tuple[str, ...]:
        times = (
            self.ours.median,
            self.other.median,
            self.ours.p99,
            self.other.p99,
        )
        return (
            self.kind,
            self.what,
            self.way,
            self.against,
            *("" if time is None else f"{time * 1e3:.3f}" for time in times),
            f"{self.ratio:.3f}",
            str(self.limit or ""),
            {True: "met", False: "missed", None: ""}[self.met],
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 4)


def lines(kind: str, units: Mapping[str, Unit]) -> Iterator[Line]:
    """Return the lines of one kind of server, those with targets first."""
    of_two = None
    for many in MANY:
        # With more servers, it has to be less than with two.
        limit = OF_TWO if of_two is None else Target(limit=round(of_two, 3))
        separate = named(SEPARATE, many)
        made = _compared(kind, units, named(SHOAL, many), separate, {COMMIT: limit})
        yield from made
        of_two = of_two or made[0].ratio
        yield from _compared(kind, units, named(SHOAL, many), named(ONE, many))
        yield from _compared(kind, units, named(SHARDED, many), separate)
    for behind in ("", BY_ORM):
        ours, django = f"{TOUCHED}{behind}", f"{DJANGO}{behind}"
        yield from _compared(kind, units, ours, django, {WHOLE: OF_ONE})


def _compared(
    kind: str,
    units: Mapping[str, Unit],
    way: str,
    against: str,
    limits: Mapping[str, Target] | None = None,
) -> list[Line]:
    ours, other = units[way], units[against]
    return [
        Line(
            kind=kind,
            what=what,
            way=way,
            against=against,
            ours=one,
            other=another,
            limit=(limits or {}).get(what),
        )
        for what, one, another in (
            (COMMIT, ours.end, other.end),
            (WHOLE, ours.whole, other.whole),
        )
    ]


def verdict(found: Sequence[Line]) -> int:
    return int(any(line.met is False for line in found))


def show(found: Sequence[Line], *, title: str) -> None:
    tables.show(
        (line.cells() for line in found),
        title=title,
        texts=("servers", "what", "way", "beside"),
        numbers=("ms", "other ms", "p99", "other p99", "ratio", "target"),
    )
