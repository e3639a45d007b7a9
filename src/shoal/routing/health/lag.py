"""Takes positions of a primary over time, gives how far behind a replica is. Pure."""

from collections import deque

from shoal.topology.positions import Position

KEPT = 1024
"""Positions of the primary that are kept: at four a second, those of four minutes."""


class PrimaryLog:
    """
    Where a primary's log was when.

    A replica that has reached the position of some moment shows all that was committed
    by then, so that its lag needs neither the servers' clocks nor their privileges.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Position]] = deque()

    @property
    def latest(self) -> Position | None:
        return self._seen[-1][1] if self._seen else None

    def add(self, asked_at: float, position: Position) -> None:
        """Remember the position that the primary had, when asked at this moment."""
        if self._seen and not position.reaches(self._seen[-1][1]):
            # Another system took over, or the log began anew: nothing compares.
            self._seen.clear()
        if len(self._seen) >= KEPT:
            # Older moments grow further apart; the first one stays.
            self._seen = deque(pair for n, pair in enumerate(self._seen) if not n % 2)
        if len(self._seen) > 1 and self._seen[-2][1] == position:
            # Nothing was written in between: the first and the last moment will do.
            self._seen.pop()
        self._seen.append((asked_at, position))

    def lag(self, replica: Position) -> float | None:
        """
        Return the seconds between the last moment that a replica shows and the latest.

        It counts to the last moment that the primary answered: what nobody can write
        nobody is behind of. `None` if the replica shows no moment that is known.
        """
        for moment, position in reversed(self._seen):
            if replica.reaches(position):
                return self._seen[-1][0] - moment
        return None

    def span(self) -> float:
        """Return the seconds from the first known moment to the latest."""
        return self._seen[-1][0] - self._seen[0][0] if self._seen else 0.0
