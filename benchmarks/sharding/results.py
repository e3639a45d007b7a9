"""Takes what each way took, gives lines with their targets, a table and the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import tables
from benchmarks.sharding.measuring import Taken


@dataclass(frozen=True, kw_only=True)
class Target:
    """A limit on the ratio: of times or sizes at most, or of rates at least."""

    limit: float
    is_rate: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.is_rate else ratio <= self.limit

    def __str__(self) -> str:
        return (
            f"≥ {self.limit:.2f} of the rate" if self.is_rate else f"≤ {self.limit:.2f}"
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way beside another."""

    work: str
    against: str
    ours: Taken
    other: Taken
    target: Target | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float | None:
        """Return time by time, or for a target of rates, rate by rate."""
        ours, other = self.ours.median, self.other.median
        if not ours or not other:
            return None
        is_rate = self.target is not None and self.target.is_rate
        return other / ours if is_rate else ours / other

    @property
    def met(self) -> bool | None:
        """Say whether the target is met: not by what is refused or wrong."""
        if self.target is None:
            return None
        if self.ours.refused or self.ours.wrong:
            return False
        return None if self.ratio is None else self.target.is_met(self.ratio)

    def as_json(self) -> dict[str, Any]:
        return {
            "work": self.work,
            "against": self.against,
            f"sharded_{self.unit}": self._shown(self.ours.median),
            f"other_{self.unit}": self._shown(self.other.median),
            "sharded_p99": self._shown(self.ours.p99),
            "other_p99": self._shown(self.other.p99),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "target": None if self.target is None else str(self.target),
            "met": self.met,
            "refused": self.ours.refused or None,
            "wrong": [
                name
                for name, one in (("sharded", self.ours), (self.against, self.other))
                if one.wrong
            ],
        }

    def _shown(self, value: float | None) -> float | None:
        return None if value is None else round(value * _SCALE[self.unit], 4)

    def cells(self) -> tuple[str, ...]:
        scale = _SCALE[self.unit]
        return (
            self.work,
            self.against,
            _cell(self.ours, scale),
            _cell(self.other, scale),
            _number(self.ours.p99, scale),
            _number(self.other.p99, scale),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            str(self.target or ""),
            {True: "met", False: "missed", None: ""}[self.met],
        )


_SCALE = {"ms": 1e3, "MB": 1e-6}


def _cell(taken: Taken, scale: float) -> str:
    if taken.refused:
        return f"refused: {taken.refused}"
    return "wrong" if taken.wrong else _number(taken.median, scale)


def _number(value: float | None, scale: float) -> str:
    if value is None:
        return ""
    scaled = value * scale
    return f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def verdict(lines: Sequence[Line]) -> int:
    return int(any(line.met is False for line in lines))


def show(lines: Sequence[Line], *, title: str) -> None:
    tables.show(
        (line.cells() for line in lines),
        title=title,
        texts=("work", "beside"),
        numbers=("sharded", "other", "p99", "other p99", "ratio", "target"),
    )
