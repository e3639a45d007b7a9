"""
A process that runs one unit of work and says how far it is: a line for each step.

At the step that it is told it kills itself, stops itself, or waits until it may go on.
"""

import json
import logging
import os
import signal
import sys
from typing import Any

import django

django.setup()

from django.db import connections  # noqa: E402

from shoal.transactions import atomic, committing  # noqa: E402
from tests.integration.transactions.steps import STEPS  # noqa: E402


class Steps(logging.Handler):
    """Halts at a step; the thread that comes next waits for the same lock."""

    def __init__(self, halt: str | None, how: str) -> None:
        super().__init__()
        self._halt, self._how = halt, how
        self._seen: dict[str, int] = {}

    def emit(self, record: Any) -> None:
        self.reach(record.event)

    def reach(self, event: str) -> None:
        self._seen[event] = self._seen.get(event, 0) + 1
        step = f"{event} {self._seen[event]}"
        step = event if event in STEPS else step
        say(step)
        if step == self._halt:
            self._stop()

    def _stop(self) -> None:
        if self._how == "ask":
            sys.stdin.readline()
        else:
            os.kill(os.getpid(), getattr(signal, self._how))


def say(text: str) -> None:
    print(text, flush=True)


def write(alias: str, number: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE note SET text = %s WHERE id = 0", [str(number)])
        cursor.execute("INSERT INTO note VALUES (%s, '')", [number])


def main(order: dict[str, Any]) -> None:
    committing.SETTLE_WITHIN = order["settle"]
    steps = Steps(order["halt"], order["how"])
    logger = logging.getLogger("shoal.transactions")
    logger.addHandler(steps)
    logger.setLevel(logging.DEBUG)
    try:
        with atomic(*order["aliases"]):
            for alias in order["aliases"]:
                write(alias, order["number"])
            steps.reach("begun")
    except Exception as error:
        say(f"error {type(error).__name__}: {' '.join(str(error).split())}")
    else:
        say("told of success")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
