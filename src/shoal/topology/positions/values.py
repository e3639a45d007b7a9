"""How far a server's log has come, as a frozen value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

Span: TypeAlias = tuple[int, int]
"""The first and the last entry of a stretch without a gap."""

CLOCK = "clock"
"""The history of positions that are moments, for servers that know no better."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    What a log contains, or what a reader must not be behind.

    A log of PostgreSQL is one span of bytes. One of MariaDB is a span of transactions
    for each domain, one of MySQL several for each server that has ever written.
    """

    history: str
    """What makes two positions comparable: the system and its timeline. Empty where
    the server keeps none."""
    logs: Mapping[str, tuple[Span, ...]]

    def __hash__(self) -> int:
        return hash((self.history, tuple(sorted(self.logs.items()))))

    @classmethod
    def of_clock(cls, moment: float) -> Self:
        """Return what stands for a position, given seconds since the epoch."""
        return cls(CLOCK, {CLOCK: ((0, int(moment * 1000)),)})

    @property
    def moment(self) -> float | None:
        """Seconds since the epoch, for a position that is a moment; else `None`."""
        if self.history != CLOCK or CLOCK not in self.logs:
            return None
        return self.logs[CLOCK][-1][1] / 1000

    def reaches(self, other: Self) -> bool:
        """Say whether all that `other` contains is in here; never across histories."""
        return self.history == other.history and all(
            _covers(self.logs.get(log, ()), span)
            for log, spans in other.logs.items()
            for span in spans
        )

    def comparable(self, other: Self) -> bool:
        """Say whether `other` is of the same history, and of logs that this has."""
        return self.history == other.history and self.logs.keys() >= other.logs.keys()

    def merge(self, newer: Self) -> Self:
        """
        Return what contains both, or `newer` where they cannot be compared.

        Of two histories the later one counts: what the earlier one had written is in
        it, or was lost with its server.
        """
        if not newer.comparable(self):
            return newer
        logs = {
            log: _union((*self.logs.get(log, ()), *newer.logs.get(log, ())))
            for log in {**self.logs, **newer.logs}
        }
        return type(self)(self.history, logs)

    def beyond(self, other: Self) -> int | None:
        """
        Return how many entries this has that `other` lacks; `None` if not comparable.

        Bytes for PostgreSQL, transactions for MariaDB and MySQL.
        """
        if not other.comparable(self):
            return None
        return sum(
            max(_size(spans) - _size(other.logs.get(log, ())), 0)
            for log, spans in self.logs.items()
        )

    def as_json(self) -> list[Any]:
        """Return the shortest lists that `from_json` understands."""
        return [self.history, {log: list(spans) for log, spans in self.logs.items()}]

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Raise `ValueError` for anything but what `as_json` returns."""
        try:
            history, logs = data
            found = {
                str(log): tuple(
                    (_natural(first), _natural(last)) for first, last in spans
                )
                for log, spans in logs.items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"Not a position: {data!r}.") from error
        if not isinstance(history, str):
            raise ValueError(f"Not a position: {data!r}.")
        return cls(history, found)


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"Not a place in a log: {value!r}.")
    return value


def _covers(spans: tuple[Span, ...], wanted: Span) -> bool:
    return any(first <= wanted[0] and wanted[1] <= last for first, last in spans)


def _union(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _size(spans: tuple[Span, ...]) -> int:
    return sum(last - first + 1 for first, last in spans)
