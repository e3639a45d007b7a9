"""
Who reads their own writes, and how much of the reading the replicas take off.

Sessions write one request in ten and read their own row in the others, once at once
after each write, as a browser does that is redirected. They do so on a real primary and
two real replicas that are up to three seconds behind. Every contender has its own
sessions and takes its turn on the same servers. A read is stale if it shows less than
the session has written. Exit status 1 if Shoal has a stale read, or if somebody with
few stale reads leaves more to the replicas.

Nobody is pinned when a run begins, which makes long pins look better in a short one.
"""

import heapq
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import django
from django.conf import settings

from benchmarks.record import record
from benchmarks.results import Result, Run, as_json, show, verdict
from benchmarks.servers import Asked, counting, lagging, statements
from shoal.lab import Lab, Postgres

if TYPE_CHECKING:
    from benchmarks.visitors import Contender, Visitor

READS = 100_000
"""Reads of Shoal's sessions."""
WEIGHT = 4
"""Shoal's sessions, for each of another contender's."""
SESSIONS = 280
"""Of each other contender."""
RATE = 1000.0
"""Requests a second of all sessions: one of each session every two to three seconds."""
WRITES = 1 / 9
"""The share of writes among requests that nobody was redirected to: of all, a tenth."""
REDIRECTED = (0.05, 0.3)
"""Seconds between a write and the read that it leads to."""
SEED = 20
PRIMARY, REPLICAS = "default", ("replica_1", "replica_2")


def main(*, reads: int = READS, keep: bool = True) -> int:
    lab = Lab(Postgres(PRIMARY, replicas=REPLICAS))
    with lab:
        configure(lab)
        run = measure(lab, reads)
        version = lab[PRIMARY].version
    show(run)
    if keep:
        sessions = {"Shoal": SESSIONS * WEIGHT, "each other": SESSIONS}
        results = as_json(run) | {"sessions": sessions}
        record("sessions", results, postgresql=version)
    return verdict(run.results)


def configure(lab: Lab) -> None:
    databases = lab.databases
    for entry in databases.values():
        entry["OPTIONS"] = {"cursor_factory": counting()}  # type: ignore[assignment]
    settings.configure(
        SECRET_KEY="for benchmarks only",
        DATABASES=databases,
        DATABASE_ROUTERS=["benchmarks.visitors.Turns"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["benchmarks", "shoal"],
        REPLICA_DATABASES=list(REPLICAS),
        SHOAL={"CLUSTERS": {PRIMARY: {"REPLICAS": list(REPLICAS)}}},
    )
    django.setup()


def measure(lab: Lab, reads: int) -> Run:
    """Run until Shoal's sessions have read so often."""
    from threading import get_ident

    from benchmarks.visitors import contenders
    from shoal.routing.context import current, set_current

    crowd = [Sessions(one, n) for n, one in enumerate(contenders(SEED))]
    prepare(lab, crowd)
    asked = Asked()
    set_current(replace(current(), observer=asked))
    looks = statements.total() - statements[get_ident()]
    began = time.monotonic()
    with lagging(lab, REPLICAS, SEED) as lags:
        draw = random.Random(SEED)
        for one in turns(crowd, until=lambda: crowd[0].result.reads >= reads):
            one.request(draw)
    return Run(
        results=[one.result for one in crowd],
        lags=lags or [0.0],
        seconds=time.monotonic() - began,
        behind=asked.times,
        waits=asked.waits,
        looks=statements.total() - statements[get_ident()] - looks,
    )


class Sessions:
    """The sessions of one contender, which serves them one after the other."""

    def __init__(self, contender: "Contender", place: int) -> None:
        from benchmarks.visitors import Visitor

        self.contender = contender
        self.result = Result(contender.name)
        count = SESSIONS * (1 if place else WEIGHT)
        self.visitors = [Visitor(place * 100_000 + n) for n in range(1, count + 1)]
        self._redirected: list[tuple[float, int, Visitor]] = []

    def request(self, draw: random.Random) -> None:
        """Let one of them write, or read what it wrote."""
        from benchmarks.visitors import Turns

        Turns.router = self.contender.router
        now = time.monotonic()
        if self._redirected and self._redirected[0][0] <= now:
            self._read(heapq.heappop(self._redirected)[2])
            return
        visitor = draw.choice(self.visitors)
        if draw.random() < WRITES:
            self._write(visitor)
            due = now + draw.uniform(*REDIRECTED)
            heapq.heappush(self._redirected, (due, self.result.writes, visitor))
        else:
            self._read(visitor)

    def _write(self, visitor: "Visitor") -> None:
        from benchmarks.models import Counter

        with self.contender.request(visitor, writes=True):
            visitor.written += 1
            Counter.objects.filter(pk=visitor.key).update(value=visitor.written)
        self.result.writes += 1

    def _read(self, visitor: "Visitor") -> None:
        from threading import get_ident

        from benchmarks.models import Counter
        from shoal.routing import choices

        result, thread = self.result, get_ident()
        sent, began = statements[thread], time.perf_counter()
        with self.contender.request(visitor, writes=False):
            row = Counter.objects.get(pk=visitor.key)
            why = choices() if row.value < visitor.written else None
        result.took.append(time.perf_counter() - began)
        result.extra += statements[thread] - sent - 1
        result.reads += 1
        if row._state.db in REPLICAS:
            result.on_replicas += 1
        elif self.contender.name == "Shoal":
            result.missed += could_serve(visitor.carried)
        if why is not None:
            result.stale += 1
            result.evidence.append(
                f"{visitor} read {row.value} from {row._state.db}: {why}"
            )


def could_serve(token: str) -> bool:
    """Ask the replicas themselves whether one of them shows this token by now."""
    from shoal.routing.tokens import unpack

    if not token:
        return True
    wanted = unpack(token)[PRIMARY].logs["wal"][-1][1]
    return any(replayed(alias) >= wanted for alias in REPLICAS)


def replayed(alias: str) -> int:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn")
        return int(cursor.fetchone()[0])


def prepare(lab: Lab, crowd: Sequence[Sessions]) -> None:
    """Make the rows, and every connection that will be used."""
    from django.db import connections

    from benchmarks.models import Counter
    from benchmarks.visitors import Turns

    Turns.router = crowd[0].contender.router
    with connections[PRIMARY].schema_editor() as editor:
        editor.create_model(Counter)
    Counter.objects.bulk_create(
        Counter(pk=visitor.key) for one in crowd for visitor in one.visitors
    )
    for alias in REPLICAS:
        lab[alias].wait_until_replayed()
        assert Counter.objects.using(alias).exists()


def turns(
    crowd: Sequence[Sessions], *, until: Callable[[], bool]
) -> Iterator[Sessions]:
    """Give who is next, at an even pace: Shoal's sessions after each of the others."""
    shoal, *others = crowd
    order = [one for n in range(len(others)) for one in _after(shoal, others, n)]
    due = time.monotonic()
    while not until():
        for one in order:
            due = max(due + 1 / RATE, time.monotonic() - 0.01)
            time.sleep(max(due - time.monotonic(), 0))
            yield one


def _after(shoal: Sessions, others: list[Sessions], n: int) -> list[Sessions]:
    return [others[n], *[shoal] * (WEIGHT // len(others))]
