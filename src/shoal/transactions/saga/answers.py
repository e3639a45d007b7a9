"""What a step raises to say more than that it has failed."""

from datetime import timedelta


class Retry(Exception):
    """
    Not yet: ask me again in so many seconds.

    Does not count as a failure, so a step may wait for days.
    """

    def __init__(self, after: float | timedelta, reason: str = "") -> None:
        if isinstance(after, timedelta):
            after = after.total_seconds()
        super().__init__(reason or f"asks again in {after:g} s")
        self.after = max(float(after), 0.0)
        """Seconds."""


class Fail(Exception):
    """
    It will not work: do not try again.

    A step is compensated at once, with all before it. A compensation is left to an
    operator.
    """
