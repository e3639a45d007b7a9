"""Takes a film and a person, writes a review of both, and dies in the middle."""

import logging
import os
import signal
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from crashing.killing import STEPS
from reviews.writing import keep

HALF_STARS = 9
LOCKED = (
    "a row that it needs is locked, by what is in doubt or by somebody who writes. "
    "It was rolled back"
)


class Dies(logging.Handler):
    """Kills this process at a step, with no time to say good-bye."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", "") == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Command(BaseCommand):
    help = "Write a review, and be killed in the middle. For the staff's page."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("film", type=int)
        parser.add_argument("author", type=int)
        parser.add_argument("--after", choices=STEPS, required=True)

    def handle(self, *, film: int, author: int, after: str, **_: Any) -> None:
        logging.getLogger("shoal.transactions").addHandler(Dies(after))
        words = f"Whoever wrote this was killed as soon as {STEPS[after]}."
        try:
            keep(film, author, {"half_stars": HALF_STARS, "text": words})
        except Error as error:
            is_locked = isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
            raise CommandError(LOCKED if is_locked else str(error)) from error
        raise CommandError(f"it never came to {after!r}, and has written the review")
