"""Takes a step, lets a process write a review that is killed once it gets there.

It is a process of its own, `manage.py write_and_die`, on the same servers as this one:
SIGKILL leaves nobody who could tidy up.
"""

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from accounts.models import User
from products.models import Product
from reviews.models import Review

STEPS = {
    "written": "the decision is written",
    "prepared": "one server has prepared",
    "decided": "the decision is committed",
    "committed": "one more has committed",
}
MANAGE = Path(__file__).resolve().parents[1] / "manage.py"
WITHIN = 30
"""Seconds for a process to start, write and die."""
POPULAR, TRIES = 300, 100


@dataclass(frozen=True)
class Attempt:
    """A review that a process began to write."""

    film: int
    author: int


class NotKilled(Exception):
    """The process ended otherwise; the message says how, for a person."""


def choose() -> Attempt | None:
    """Draw a popular film and somebody who has not reviewed it, if there are any."""
    films = list(
        Product.objects.order_by("-review_count").values_list("pk", flat=True)[:POPULAR]
    )
    people = User.objects.filter(is_staff=False, is_active=True, generated=False)
    authors = list(people.order_by("pk").values_list("pk", flat=True))
    for _ in range(TRIES if films and authors else 0):
        drawn = Attempt(film=random.choice(films), author=random.choice(authors))
        if not is_written(drawn):
            return drawn
    return None


def is_written(attempt: Attempt) -> bool:
    rows = Review.objects.filter(product_id=attempt.film, author_id=attempt.author)
    return rows.exists()


def kill(attempt: Attempt, step: str) -> None:
    """Let it write and die. Raises `NotKilled` if it ended in another way."""
    what = (str(attempt.film), str(attempt.author))
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE}
    try:
        done = subprocess.run(
            [sys.executable, str(MANAGE), "write_and_die", *what, "--after", step],
            cwd=MANAGE.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotKilled(f"it was at work for {WITHIN} seconds, and stopped") from error
    if done.returncode != -signal.SIGKILL:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it ended"]
        raise NotKilled(said[-1])
