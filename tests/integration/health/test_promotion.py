"""A promoted replica is left out, and the tokens of before are dropped, under load."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import Error, connections
from django.test import Client

from shoal.lab import Postgres, lab_fixture
from shoal.routing import choices, export_token, unit_of_work, with_token
from shoal.routing.health import get_watch
from tests.integration.health.conftest import (
    REPLICAS,
    Fleet,
    create_tables,
    led_to,
)
from tests.project.catalog.models import Product
from tests.waiting import until

pytestmark = [
    pytest.mark.shoal(mirror_replicas=False),
    pytest.mark.urls("tests.integration.health.views"),
]

other_lab = lab_fixture(Postgres("catalog", replicas=REPLICAS), scope="function")


@pytest.fixture
def spare(other_lab: Any, django_db_blocker: Any) -> Iterator[Fleet]:
    """Servers that need not be what they were in the end."""
    spare = Fleet(other_lab)
    with django_db_blocker.unblock(), led_to(other_lab.databases):
        create_tables()
        spare.meet()
        yield spare


@dataclass
class Load:
    """Threads that write and read what they wrote."""

    read: int = 0
    by: set[str] = field(default_factory=set)
    stale: list[tuple[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        try:
            for count in range(1_000_000):
                if self.over.is_set():
                    return
                self.once(f"{number} {count}")
        finally:
            connections.close_all()

    def once(self, name: str) -> None:
        try:
            with unit_of_work():
                Product.objects.create(name=name)
                token = export_token()
            time.sleep(0.002)
            with with_token(token):
                found = Product.objects.filter(name=name).exists()
                alias = choices()["catalog"].alias
        except Error:
            connections.close_all()
            return
        self.read += 1
        self.by.add(alias)
        if not found:
            self.stale.append((name, alias))


@pytest.fixture
def load(spare: Fleet) -> Iterator[Load]:
    load = Load()
    threads = [threading.Thread(target=load.run, args=[n]) for n in range(3)]
    for thread in threads:
        thread.start()
    yield load
    load.over.set()
    for thread in threads:
        thread.join()


def wait_for_more(load: Load) -> None:
    before = load.read
    load.by.clear()
    until(lambda: load.read > before + 30)


def test_a_promotion_and_what_follows(spare: Fleet, load: Load) -> None:
    visitor = Client()
    visitor.post("/names/", {"name": "before"})
    until(lambda: load.by.issuperset(REPLICAS))
    spare["catalog_r1"].promote()
    until(lambda: spare.state("catalog_r1") == "promoted", 10)
    assert not spare.serving("catalog_r1")
    wait_for_more(load)
    wait_for_more(load)
    assert "catalog_r1" not in load.by

    until(lambda: spare["catalog_r2"].follows())
    spare["catalog"].stop()
    old, new = spare.lab.databases["catalog"], spare.lab.databases["catalog_r1"]
    with led_to({"catalog": new, "catalog_r1": old}):
        wait_for_more(load)
        wait_for_more(load)
        assert load.by == {"catalog"}
        assert get_watch().health["catalog"].state == "up"
        until(lambda: spare.state("catalog_r2") == "lagging")
        response = visitor.get("/names/")
        assert "before" in response.json()
        assert response.cookies["shoal_token"]["max-age"] == 0
        visitor.post("/names/", {"name": "after"})
        assert "after" in visitor.get("/names/").json()
        load.over.set()
    assert load.stale == []
