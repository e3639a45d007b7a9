"""Messages, and how often and when they are tried, as frozen values. Touches nobody."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shoal.types import Alias


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a receiver is given."""

    id: str
    """The same at each attempt, and of no other message: an idempotency key."""
    topic: str
    key: str | None
    body: Any
    """What was sent, as JSON brings it back."""
    attempts: int
    """1 at the first attempt."""
    sent: datetime
    using: Alias
    """The database that it was sent in."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it, for a task."""
        return {
            "id": self.id,
            "topic": self.topic,
            "key": self.key,
            "body": self.body,
            "attempts": self.attempts,
            "sent": self.sent.isoformat(),
            "using": self.using,
        }


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a message is tried, and how long it waits in between."""

    attempts: int = 16
    """After so many it is a dead letter."""
    first: float = 1.0
    """Seconds after the first attempt, and twice as many after each further one."""
    longest: float = 3600.0
    """Seconds, however many attempts there were."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.longest < 0:
            raise ValueError(
                "Retry() takes at least 1 attempt, and no negative seconds."
            )

    def pause(self, attempts: int, draw: Callable[[], float] = random.random) -> float:
        """
        Return the seconds to wait after so many attempts.

        Half of them and up to as many again by chance: what failed together, since a
        server was away, is not tried together.
        """
        doublings = min(max(attempts, 1) - 1, 64)
        whole = min(self.first * 2.0**doublings, self.longest)
        return whole * (0.5 + 0.5 * draw())


@dataclass(frozen=True, kw_only=True)
class Dead:
    """A message that nobody tries any more, until somebody says so."""

    id: str
    topic: str
    key: str | None
    attempts: int
    error: str
    age: float
    """Seconds since it was sent."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What is in one database."""

    waiting: int = 0
    oldest: float | None = None
    """Seconds since the oldest of them was sent."""
    dead: int = 0
    dead_letters: tuple[Dead, ...] = ()
    """The first of them."""

    def as_json(self) -> dict[str, Any]:
        return {
            "waiting": self.waiting,
            "oldest_seconds": self.oldest,
            "dead": self.dead,
            "dead_letters": [vars(letter) for letter in self.dead_letters],
        }


@dataclass(kw_only=True)
class Tally:
    """What a worker has done with the messages of one database."""

    delivered: int = 0
    failed: int = 0
    """Attempts. The message waits for the next one, or is dead."""
    unheard: Mapping[str, int] = field(default_factory=dict)
    """How many messages have a topic that nobody receives."""
    left: Waiting = field(default_factory=Waiting)
    error: str | None = None
    """Why the database could not be asked to the end."""

    @property
    def tried(self) -> int:
        return self.delivered + self.failed

    @property
    def is_well(self) -> bool:
        return not (self.failed or self.unheard or self.left.dead or self.error)

    def as_json(self) -> dict[str, Any]:
        return {
            "delivered": self.delivered,
            "failed": self.failed,
            "unheard": dict(self.unheard),
            **self.left.as_json(),
            "error": self.error,
        }
