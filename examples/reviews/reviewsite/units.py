"""Takes what the log `shoal.transactions` tells, gives the units of work of a request.

settings.LOGGING hangs `Told` on that log. A request that writes ends in a redirect, so
what it has told travels in a cookie to the page that follows.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from reviewsite.ways import listed

COOKIE = "shoal_reviews_units"
KEPT_FOR = 60
"""Seconds."""
MOST_CARRIED = 5
WORDS = {
    "written": "wrote the decision, and has not committed it",
    "prepared": "prepared: it promised to commit",
    "decided": "committed, and with it the decision",
    "committed": "committed what it had prepared",
    "forgotten": "forgot the decision, which nobody needs any more",
    "left_prepared": "could not be told: recover will do it",
}


@dataclass(frozen=True)
class Step:
    event: str
    server: str
    at: float
    """Milliseconds since the first step of the unit."""

    @property
    def words(self) -> str:
        return WORDS[self.event]


@dataclass
class Unit:
    """One that was written on several servers; one on a single server tells nothing."""

    steps: list[Step] = field(default_factory=list)

    @property
    def home(self) -> str:
        """Who decided."""
        return self.steps[0].server

    @property
    def servers(self) -> list[str]:
        """Those that were written, the one that decided first."""
        return [self.home, *self._of("prepared")]

    @property
    def named(self) -> str:
        return listed(self.servers)

    @property
    def prepare(self) -> float:
        """Milliseconds until the last one had prepared."""
        return self._last("prepared")

    @property
    def decide(self) -> float:
        return self._last("decided") - self.prepare

    @property
    def commit(self) -> float:
        """Milliseconds from the decision to the last commit."""
        return self._last("committed") - self._last("decided")

    @property
    def is_decided(self) -> bool:
        return bool(self._of("decided"))

    def _of(self, event: str) -> list[str]:
        return sorted(step.server for step in self.steps if step.event == event)

    def _last(self, event: str) -> float:
        return max((step.at for step in self.steps if step.event == event), default=0.0)


class Heard:
    """The units of one request. Servers prepare and commit in threads of their own."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._begun = 0.0

    def add(self, event: str, server: str) -> None:
        now = time.perf_counter()
        if event == "written":
            self._begun = now
            self.units.append(Unit())
        if self.units and event in WORDS:
            at = round(1000 * (now - self._begun), 2)
            self.units[-1].steps.append(Step(event, server, at))


hearing: ContextVar[Heard | None] = ContextVar("hearing", default=None)


class Told(logging.Handler):
    """Keeps what is told for the request that it is told of."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = hearing.get()
        if heard is not None:
            heard.add(getattr(record, "event", ""), getattr(record, "alias", ""))


@contextmanager
def heard() -> Iterator[Heard]:
    found = Heard()
    token = hearing.set(found)
    try:
        yield found
    finally:
        hearing.reset(token)


def carry(response: HttpResponseBase, units: Sequence[Unit]) -> None:
    """Give the units to the page that follows."""
    told = [
        [(step.event, step.server, step.at) for step in unit.steps] for unit in units
    ]
    value = signing.dumps(told[-MOST_CARRIED:], salt=COOKIE, compress=True)
    response.set_cookie(COOKIE, value, max_age=KEPT_FOR, httponly=True, samesite="Lax")


def carried(request: HttpRequest) -> list[Unit]:
    """Return what the request before this one has done."""
    try:
        told = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=KEPT_FOR
        )
    except signing.BadSignature:
        return []
    return [Unit([Step(*step) for step in steps]) for steps in told]


def drop(request: HttpRequest, response: HttpResponseBase) -> None:
    """It was shown."""
    if COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, samesite="Lax")
