"""Servers that tests may kill, and the project's aliases led to them for a while."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections

from shoal.lab import Lab, LabServer, Postgres, lab_fixture
from shoal.routing import unit_of_work
from shoal.routing.health import get_watch, stop_watching
from tests.integration.health import views
from tests.project.catalog.models import Bundle, Product, Tag
from tests.waiting import until

ALIASES = ("catalog", "catalog_r1", "catalog_r2")
REPLICAS = ("catalog_r1", "catalog_r2")

lab = lab_fixture(
    Postgres(
        "catalog",
        replicas=REPLICAS,
        settings={"max_standby_streaming_delay": "0", "hot_standby_feedback": "off"},
    ),
    scope="package",
)


@dataclass
class Fleet:
    """The servers of one cluster, and what this process knows of them."""

    lab: Lab

    def __getitem__(self, alias: str) -> LabServer:
        return self.lab[alias]

    def state(self, alias: str) -> str:
        return get_watch().health[alias].state

    def meet(self) -> None:
        """Let the watch look at all servers, which are up."""
        for alias in ALIASES[1:]:
            if self[alias].primary:
                self[alias].wait_until_replayed()
        with unit_of_work():
            Product.objects.count()
        for alias in ALIASES:
            until(lambda alias=alias: self.state(alias) == "up")

    def serving(self, alias: str) -> bool:
        return get_watch().is_usable(alias)

    @contextlib.contextmanager
    def deaf(self, alias: str) -> Iterator[None]:
        """Let a server answer nothing for the length of a block, all its processes."""
        pids = [pid for (pid,) in self[alias].ask("SELECT pid FROM pg_stat_activity")]
        stopped = [pid for pid in (self[alias].pid, *pids) if _signal(pid, "STOP")]
        try:
            yield
        finally:
            for pid in stopped:
                _signal(pid, "CONT")

    def mend(self) -> None:
        for alias in ALIASES:
            self[alias].start()
        for alias in ALIASES[1:]:
            if self[alias].primary:
                # A paused replica does not ask a primary that was restarted for more.
                self[alias].resume_replay()
                until(self[alias].follows)
                self[alias].wait_until_replayed()


def _signal(pid: int, name: str) -> bool:
    try:
        os.kill(pid, getattr(signal, f"SIG{name}"))
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def led_to(addresses: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Let aliases lead to other servers, and back to their own after the block."""
    before = {alias: dict(connections.settings[alias]) for alias in addresses}
    try:
        _lead(addresses)
        yield
    finally:
        _lead(before)


def _lead(addresses: dict[str, dict[str, Any]]) -> None:
    stop_watching()
    for alias, address in addresses.items():
        connections[alias].close()
        connections.settings[alias].update(address)
    # Other threads may have begun to watch where the aliases led before.
    stop_watching()


def create_tables() -> None:
    with connections["catalog"].schema_editor() as editor:
        for model in (Tag, Product, Bundle):
            editor.create_model(model)


@pytest.fixture(scope="package")
def tables(lab: Lab, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock(), led_to(lab.databases):
        create_tables()


@pytest.fixture
def fleet(lab: Lab, tables: None, django_db_blocker: Any) -> Iterator[Fleet]:
    """All servers up and empty, in the beginning and in the end."""
    fleet = Fleet(lab)
    with django_db_blocker.unblock(), led_to(lab.databases):
        fleet.meet()
        try:
            yield fleet
        finally:
            views.reset()
            fleet.mend()
            lab["catalog"].sql("DELETE FROM catalog_product; DELETE FROM catalog_tag")
