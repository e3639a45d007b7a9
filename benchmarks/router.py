"""
What one call of a router costs, in nanoseconds.

Every contender answers the same question, `db_for_read(model)` as Django asks it, in
rounds that take turns, so that a machine that slows down slows all of them down. The
empty router is the floor: a method call that returns None. Exit status 1 if a cluster
without replicas costs more than the budget.
"""

import statistics
import timeit
from collections.abc import Callable

import django
from django.conf import settings

BUDGET = 300.0
"""Nanoseconds for one call, for a cluster without replicas."""
CALLS = 50_000
ROUNDS = 15


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
    )
    django.setup()


class Empty:
    def db_for_read(self, model: type, **hints: object) -> None:
        return None


def contenders() -> dict[str, Callable[[], object]]:
    import multidb
    from django.contrib.auth.models import Group
    from django.contrib.sessions.models import Session
    from multidb.pinning import pin_this_thread, unpin_this_thread

    from shoal.routing import Router

    empty, shoal = Empty(), Router()
    plain, pinning = multidb.ReplicaRouter(), multidb.PinningReplicaRouter()

    def pinned() -> object:
        return pinning.db_for_read(Group)

    def with_pin() -> None:
        pin_this_thread()

    def without_pin() -> None:
        unpin_this_thread()

    pinned.before, pinned.after = with_pin, without_pin  # type: ignore[attr-defined]
    unpin_this_thread()
    return {
        "empty router": lambda: empty.db_for_read(Session),
        "Shoal, no replica": lambda: shoal.db_for_read(Session),
        "Shoal, no replica, with a hint": lambda: shoal.db_for_read(
            Session, instance=None
        ),
        "Shoal, one replica": lambda: shoal.db_for_read(Group),
        "multidb ReplicaRouter": lambda: plain.db_for_read(Group),
        "multidb PinningReplicaRouter, unpinned": lambda: pinning.db_for_read(Group),
        "multidb PinningReplicaRouter, pinned": pinned,
    }


def measure(found: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median over the rounds, by contender, in nanoseconds for a call."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, call in found.items():
            getattr(call, "before", lambda: None)()
            times[name].append(timeit.timeit(call, number=CALLS) / CALLS * 1e9)
            getattr(call, "after", lambda: None)()
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    from rich.console import Console
    from rich.table import Table

    configure()
    medians = measure(contenders())
    table = Table(title=f"db_for_read(model): median of {ROUNDS} rounds of {CALLS:,}")
    table.add_column("router")
    table.add_column("ns a call", justify="right")
    table.add_column("times empty", justify="right")
    for name, value in medians.items():
        ratio = value / medians["empty router"]
        table.add_row(name, f"{value:.0f}", f"{ratio:.1f}")
    console = Console()
    console.print(table)
    console.print(
        "multidb does not look for an open transaction; Shoal does, where it has a "
        "replica to choose."
    )
    cost = max(v for name, v in medians.items() if name.startswith("Shoal, no replica"))
    if cost > BUDGET:
        console.print(f"[red]Over budget:[/] {cost:.0f} ns, at most {BUDGET:.0f}.")
    return int(cost > BUDGET)
