"""A worker in a process of its own, which kills itself at the n-th event of a name."""

import logging
import os
import signal
import sys

import django

django.setup()

from shoal.transactions.outbox import deliver  # noqa: E402


class Killer(logging.Handler):
    def __init__(self, event: str, count: int) -> None:
        super().__init__(logging.DEBUG)
        self.event, self.left = event, count

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= self.event in (getattr(record, "event", None), "any")
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logger = logging.getLogger("shoal.transactions.outbox")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Killer(sys.argv[1], int(sys.argv[2])))
    tallies = deliver(["source"])
    sys.exit(tallies["source"].error)
