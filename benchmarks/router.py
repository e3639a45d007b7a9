"""
What one call of a router costs, in nanoseconds.

Every contender answers the same question, `db_for_read(model)` as Django asks it, in
rounds that take turns, so that a machine that slows down slows all of them down. The
empty router is the floor: a method call that returns None. Exit status 1 if a call
costs more than its budget.
"""

import contextlib
import importlib.util
import statistics
import timeit
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import django
from django.conf import settings

from benchmarks.record import record

CALLS = 50_000
ROUNDS = 15
REPLICATED = "django_replicated"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A call, and the state of the process that it is made in."""

    call: Callable[[], object]
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    budget: float | None = None
    """Nanoseconds."""


def configure() -> None:
    aliases = ("default", "replica", "other")
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        DATABASES={alias: dict(sqlite) for alias in aliases},
        DATABASE_ROUTERS=["shoal.routing.Router"],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "shoal",
        ],
        MIDDLEWARE=["shoal.routing.Middleware"],
        REPLICA_DATABASES=["replica"],
        SHOAL={
            "CLUSTERS": {
                "default": {"APPS": ["auth"], "REPLICAS": ["replica"]},
                "other": {"APPS": ["sessions"]},
            }
        },
        **settings_of_replicated(),
    )
    django.setup()


class Empty:
    def db_for_read(self, model: type, **hints: object) -> None:
        return None


def contenders() -> dict[str, Contender]:
    from django.contrib.sessions.models import Session

    empty = Empty()
    floor = Contender(call=lambda: empty.db_for_read(Session))
    return {"empty router": floor, **shoal(), **multidb(), **replicated()}


def shoal() -> dict[str, Contender]:
    from django.contrib.auth.models import Group
    from django.contrib.sessions.models import Session

    from shoal.routing import Router, unit_of_work

    router = Router()

    def first() -> object:
        with unit_of_work():
            return router.db_for_read(Group)

    def plain() -> object:
        return router.db_for_read(Session)

    def hinted() -> object:
        return router.db_for_read(Session, instance=None)

    def replica() -> object:
        return router.db_for_read(Group)

    return {
        "Shoal, no replica": Contender(call=plain, budget=300),
        "Shoal, no replica, with a hint": Contender(call=hinted, budget=300),
        "Shoal, one replica, in a request": Contender(
            call=replica, within=unit_of_work, budget=1500
        ),
        "Shoal, one replica, a request and its first read": Contender(call=first),
        "Shoal, one replica, outside of a request": Contender(call=replica),
    }


def multidb() -> dict[str, Contender]:
    from django.contrib.auth.models import Group
    from multidb import PinningReplicaRouter, ReplicaRouter
    from multidb.pinning import use_primary_db

    plain, pinning = ReplicaRouter(), PinningReplicaRouter()

    def read() -> object:
        return pinning.db_for_read(Group)

    with use_primary_db:
        pass  # Unpinned from now on, and no longer "never said".
    return {
        "multidb ReplicaRouter": Contender(call=lambda: plain.db_for_read(Group)),
        "multidb PinningReplicaRouter, unpinned": Contender(call=read),
        "multidb PinningReplicaRouter, pinned": Contender(
            call=read, within=lambda: use_primary_db
        ),
    }


def replicated() -> dict[str, Contender]:
    """The router of django_replicated in a GET and in a POST, if it is installed."""
    if importlib.util.find_spec(REPLICATED) is None:
        return {}
    from django.contrib.auth.models import Group
    from django_replicated.router import ReplicationRouter

    router = ReplicationRouter()

    def read() -> object:
        return router.db_for_read(Group)

    @contextlib.contextmanager
    def in_state(state: str) -> Any:
        router.init(state)
        yield
        router.reset()

    return {
        "django_replicated, in a GET": Contender(
            call=read, within=lambda: in_state("slave")
        ),
        "django_replicated, in a POST": Contender(
            call=read, within=lambda: in_state("master")
        ),
    }


def settings_of_replicated() -> Mapping[str, Any]:
    """Return its settings as it documents them, and nothing if it is not there."""
    if importlib.util.find_spec(REPLICATED) is None:
        return {}
    from django_replicated import settings as defaults

    found = {name: value for name, value in vars(defaults).items() if name.isupper()}
    return found | {"REPLICATED_DATABASE_SLAVES": ["replica"]}


def measure(found: Mapping[str, Contender]) -> dict[str, float]:
    """Return the median over the rounds, by contender, in nanoseconds for a call."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, one in found.items():
            with one.within():
                one.call()
                took = timeit.timeit(one.call, number=CALLS)
            times[name].append(took / CALLS * 1e9)
    return {name: statistics.median(values) for name, values in times.items()}


def show(found: Mapping[str, Contender], medians: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"db_for_read(model): median of {ROUNDS} rounds of {CALLS:,}")
    table.add_column("router")
    for title in ("ns a call", "times empty", "budget"):
        table.add_column(title, justify="right")
    for name, value in medians.items():
        ratio, budget = value / medians["empty router"], found[name].budget
        shown = f"{budget:.0f}" if budget else ""
        table.add_row(name, f"{value:.0f}", f"{ratio:.1f}", shown)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "Neither multidb nor django_replicated looks for an open transaction or for a "
        "replica that has been lost since; Shoal does, where it has one to choose."
    )
    if importlib.util.find_spec(REPLICATED) is None:
        console.print(
            f"{REPLICATED} is not installed, so that it is not in the table: "
            f"pip install --no-deps {REPLICATED}"
        )


def main(*, keep: bool = True) -> int:
    configure()
    found = contenders()
    medians = measure(found)
    show(found, medians)
    if keep:
        record("router", {name: round(value) for name, value in medians.items()})
    over = [name for name, value in medians.items() if value > budget_of(found[name])]
    for name in over:
        print(
            f"Over budget: {name}, {medians[name]:.0f} ns, "
            f"at most {found[name].budget:.0f}."
        )
    return int(bool(over))


def budget_of(one: Contender) -> float:
    return float("inf") if one.budget is None else one.budget
