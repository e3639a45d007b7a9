"""Takes how many rows servers had read at two moments, gives who reads. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoal.types import Alias


@dataclass(frozen=True, slots=True)
class Sample:
    """What one server has read since it was started."""

    at: float
    """Seconds of the monotonic clock."""
    rows: int


Samples = Mapping[Alias, Sample]


def rates(before: Samples, after: Samples) -> dict[Alias, float]:
    """Return rows a second, without those servers of which too little is known."""
    return {
        alias: (sample.rows - before[alias].rows) / (sample.at - before[alias].at)
        for alias, sample in after.items()
        # Fewer rows than before: the server was started anew.
        if alias in before
        and sample.at > before[alias].at
        and sample.rows >= before[alias].rows
    }


def share(alias: Alias, among: Iterable[Alias], rates: Mapping[Alias, float]) -> float:
    """Return which part of the rows that `among` read was read here, from 0 to 1."""
    total = sum(rates.get(one, 0.0) for one in among)
    return rates.get(alias, 0.0) / total if total else 0.0
