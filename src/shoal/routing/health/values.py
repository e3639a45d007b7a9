"""How a server is, as far as this process has seen it: frozen values. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shoal.topology.positions import Position
from shoal.types import Alias

State: TypeAlias = Literal[
    "unknown", "up", "lagging", "promoted", "demoted", "silent", "down"
]
"""
Not looked at yet; serving; behind by more than `MAX_LAG`; listed as a replica and not
one; listed as the primary and a replica; answering too slowly; refusing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a server answered once. Times are seconds of the monotonic clock."""

    asked_at: float
    answered_at: float
    position: Position | None
    is_replica: bool | None
    age: float | None
    """Seconds since what a replica replayed last, if there is more to replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of one server."""

    alias: Alias
    state: State = "unknown"
    since: float = 0.0
    """When it got into this state, in seconds since the epoch."""
    error: str = ""
    """Why it is down."""
    position: Position | None = None
    """The last one seen. A replica has at least this much, whatever happened since."""
    asked_at: float = 0.0
    """When the last answer was asked for, by the monotonic clock."""
    lag: float | None = None
    """Seconds that a replica is behind its primary; `None` if it cannot be told."""
    behind: int | None = None
    """Bytes (PostgreSQL) or transactions that a replica has not replayed."""
    latency: float = 0.0
    """Seconds for one answer, smoothed."""

    @property
    def is_following(self) -> bool:
        """Whether `lag` and `behind` are of now, and not of its last good moment."""
        # What has just been met may be behind, and not judged yet.
        known = self.state == "unknown" and self.position is not None
        return known or self.state in ("up", "lagging")

    @property
    def answers(self) -> bool:
        """Whether it has answered the latest look, be it what it should be or not."""
        return self.state in ("up", "lagging", "promoted", "demoted")
