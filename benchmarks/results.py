"""Takes what the sessions have seen, gives the table, the record and the verdict."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FEW = 0.01
"""The share of stale reads that some would put up with."""


@dataclass(slots=True)
class Result:
    """What one contender's sessions have seen."""

    name: str
    reads: int = 0
    writes: int = 0
    stale: int = 0
    on_replicas: int = 0
    extra: int = 0
    """Statements in reading requests beside the read itself."""
    missed: int = 0
    """Reads on the primary that a replica could have served a moment later."""
    took: list[float] = field(default_factory=list)
    """Seconds of each reading request."""
    evidence: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.on_replicas / max(self.reads, 1)

    @property
    def median_us(self) -> float:
        return statistics.median(self.took or [0.0]) * 1e6

    def as_json(self) -> dict[str, Any]:
        return {
            "reads": self.reads,
            "writes": self.writes,
            "stale": self.stale,
            "share_on_replicas": round(self.share, 4),
            "extra_statements": self.extra,
            "missed": self.missed,
            "median_us": round(self.median_us),
        }


@dataclass(slots=True)
class Run:
    """All contenders' results, and what the servers were doing."""

    results: list[Result]
    lags: list[float]
    seconds: float
    behind: int
    """Requests for which no replica was known to be far enough."""
    waits: list[float]
    """Seconds, of those among them that waited until the replicas were asked."""
    looks: int
    """Statements of the watch, all servers together."""


def verdict(results: Sequence[Result]) -> int:
    shoal, *others = results
    rivals = [one for one in others if one.stale < FEW * one.reads]
    more = [one for one in rivals if one.share >= shoal.share]
    return int(bool(shoal.stale or more))


def as_json(run: Run) -> dict[str, Any]:
    return {
        "contenders": {one.name: one.as_json() for one in run.results},
        "seconds": round(run.seconds, 1),
        "lag": {
            "median": round(statistics.median(run.lags), 2),
            "longest": round(max(run.lags), 2),
        },
        "requests_behind": run.behind,
        "requests_that_asked": len(run.waits),
        "asking_ms": round(mean_ms(run.waits), 2),
        "looks_a_second": round(run.looks / run.seconds, 1),
    }


def mean_ms(waits: Sequence[float]) -> float:
    return statistics.fmean(waits) * 1000 if waits else 0.0


def show(run: Run) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Own writes read back, lag from 0 to 3 s")
    table.add_column("contender", no_wrap=True)
    for title in ("reads", "stale", "stale %", "on replicas %", "median µs"):
        table.add_column(title, justify="right")
    for one in run.results:
        table.add_row(
            one.name,
            f"{one.reads:,}",
            f"{one.stale:,}",
            f"{100 * one.stale / max(one.reads, 1):.2f}",
            f"{100 * one.share:.1f}",
            f"{one.median_us:.0f}",
        )
    console = Console(highlight=False)
    console.print(table)
    shoal = run.results[0]
    console.print(
        f"{run.seconds:.0f} s; the replicas were {statistics.median(run.lags):.1f} s "
        f"behind (median), {max(run.lags):.1f} s at most.\n"
        f"Shoal sent {shoal.extra} statements in {shoal.reads:,} reading requests "
        f"beside the reads. For {run.behind:,} requests no replica was known to be far "
        f"enough; {len(run.waits):,} of them waited until the replicas were asked, for "
        f"{mean_ms(run.waits):.1f} ms on average.\n"
        f"Of {shoal.reads - shoal.on_replicas:,} reads on the primary a replica could "
        f"have served {shoal.missed:,} a moment later. "
        f"The watch asks {run.looks / run.seconds:.0f} times a second."
    )
    for line in shoal.evidence[:5]:
        console.print(f"[red]Stale:[/] {line}")
