"""Asking servers, one by one, in this process."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from shoal.lab import Lab, MariaDB, mariadb_available
from shoal.topology.probe import ServerFacts, probe
from tests.waiting import until

Register = Callable[..., str]


@pytest.fixture
def register(
    monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[Register]:
    """Give a function that adds an alias for the time of a test."""

    def add(alias: str, database: dict[str, Any], **changes: Any) -> str:
        defaults = {"OPTIONS": {}, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
        common = {"AUTOCOMMIT": True, "TIME_ZONE": None, "ATOMIC_REQUESTS": False}
        entry = {**defaults, **common, **database, **changes}
        monkeypatch.setitem(connections.settings, alias, entry)
        return alias

    with django_db_blocker.unblock():
        yield add
        for thread in threading.enumerate():
            if thread.name.startswith("shoal-probe-"):
                thread.join(10)  # Who was too late for the deadline of a test.


def test_a_primary_and_its_replica(lab: Lab, register: Register) -> None:
    for name in ("north", "north_r1"):
        register(name, lab[name].alias)
    facts = probe(["north", "north_r1"])
    primary, replica = facts["north"], facts["north_r1"]
    assert primary.reachable
    assert primary.is_replica is False
    assert replica.is_replica is True
    assert replica.connected is True
    assert primary.system == replica.system == replica.follows_system
    assert primary.identity != replica.identity
    assert primary.version == lab["north"].version.split()[0]
    assert primary.server_name == "north"


def test_a_deaf_server_does_not_hold_up_the_others(
    lab: Lab, register: Register
) -> None:
    register("east", lab["east"].alias)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = str(deaf.getsockname()[1])
        register("deaf", lab["east"].alias, PORT=port, OPTIONS={"connect_timeout": 60})
        began = time.monotonic()
        facts = probe(["deaf", "east"], deadline=3)
        assert time.monotonic() - began < 30
    assert facts["east"].reachable
    assert facts["deaf"].trouble == "silent"
    assert facts["deaf"].error == "no answer within 3 s"


def test_the_driver_gives_up_first_where_the_project_says_so(
    lab: Lab, register: Register
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = str(deaf.getsockname()[1])
        register("deaf", lab["east"].alias, PORT=port, OPTIONS={"connect_timeout": 2})
        (facts,) = probe(["deaf"], deadline=60).values()
    assert facts.trouble == "silent"
    assert "timeout" in facts.error


def one(alias: str) -> ServerFacts:
    return probe([alias])[alias]


def test_what_is_wrong_is_told_apart(lab: Lab, register: Register) -> None:
    east = lab["east"].alias
    for alias, changes, trouble in (
        ("password", {"PASSWORD": "open sesame"}, "refused"),
        ("role", {"USER": "nobody_here"}, "refused"),
        ("name", {"NAME": "no_such_database"}, "missing"),
        ("port", {"PORT": "1"}, "unreachable"),
        ("option", {"OPTIONS": {"colour": "red"}}, "settings"),
        ("engine", {"ENGINE": "django.db.backends.postgres"}, "settings"),
    ):
        facts = one(register(alias, east, **changes))
        assert facts.trouble == trouble, facts
        assert facts.error
        assert "open sesame" not in repr(facts)
        assert east["PASSWORD"] not in repr(facts)


def test_a_role_without_privileges_learns_enough(lab: Lab, register: Register) -> None:
    lab["north"].ask("DROP ROLE IF EXISTS visitor")
    lab["north"].ask("CREATE ROLE visitor LOGIN PASSWORD 'long enough'")
    lab["north_r1"].wait_until_replayed()
    for name in ("north", "north_r1"):
        entry = {**lab[name].alias, "USER": "visitor", "PASSWORD": "long enough"}
        register(name, entry)
    facts = probe(["north", "north_r1"])
    assert facts["north_r1"].is_replica is True
    assert facts["north_r1"].connected is True
    assert facts["north_r1"].lag_seconds == 0.0
    assert facts["north_r1"].follows is None
    assert facts["north"].is_replica is False


def test_a_pool_is_left_alone(lab: Lab, register: Register) -> None:
    facts = one(register("east", lab["east"].alias, OPTIONS={"pool": True}))
    assert facts.reachable
    assert "east" not in type(connections["east"])._connection_pools
    del connections["east"]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Lab]:
    assert mariadb_available(), "mariadbd is missing: deselect with -m 'not mariadb'."
    with Lab(MariaDB("sums", replicas=("sums_r1",))) as servers:
        servers["sums_r1"].wait_until_replayed()
        until(servers["sums_r1"].follows)
        yield servers


@pytest.mark.mariadb
def test_mariadb(mariadb: Lab, register: Register) -> None:
    for name in ("sums", "sums_r1"):
        register(name, mariadb[name].alias)
    facts = probe(["sums", "sums_r1"])
    primary, replica = facts["sums"], facts["sums_r1"]
    assert (primary.trouble, replica.trouble) == ("", "")
    assert primary.server_name == "sums"
    assert primary.is_replica is False
    assert replica.is_replica is True
    assert replica.connected is True
    assert replica.follows_system == primary.system
    assert replica.follows == f"127.0.0.1:{mariadb['sums'].port}"
    assert replica.lag_seconds == 0.0
    assert one(register("wrong", mariadb["sums"].alias, PASSWORD="x")).trouble == (
        "refused"
    )
    assert one(register("gone", mariadb["sums"].alias, NAME="x")).trouble == "missing"
