"""What is prepared, as the server itself tells it."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from shoal.lab import Lab, Postgres, lab_fixture
from shoal.placement.control import Control
from shoal.topology.probe.asking import close, open_apart
from shoal.transactions.in_doubt import Branch, branches
from tests.integration.publishing.conftest import aliases
from tests.waiting import until

GID = "shoal|{unit}|0|0a1b2c3d|elsewhere"
UNITS = ("a" * 32, "b" * 32)

doubtful = lab_fixture(Postgres("doubtful"), scope="module")


@pytest.fixture
def lab(doubtful: Lab, django_db_blocker: Any) -> Any:
    with django_db_blocker.unblock(), aliases({"doubtful": doubtful["doubtful"].alias}):
        yield doubtful


def found() -> list[Branch]:
    connection: Any = open_apart("doubtful")
    try:
        connection.ensure_connection()
        return branches(Control(connection))
    finally:
        close(connection)


def test_names_the_tables_that_are_locked_also_after_a_restart(lab: Lab) -> None:
    server = lab["doubtful"]
    server.sql("CREATE TABLE herring (id integer); CREATE TABLE sprat (id integer)")
    for unit, table in zip(UNITS, ("herring", "sprat"), strict=True):
        server.sql(
            f"BEGIN; SELECT count(*) FROM herring; INSERT INTO {table} VALUES (1); "
            f"PREPARE TRANSACTION '{GID.format(unit=unit)}'"
        )
    for _ in range(2):
        told = {one.name.unit: (one.tables, one.waiting) for one in found()}
        assert told == {"a" * 32: (("herring",), 0), "b" * 32: (("sprat",), 0)}
        server.stop()
        server.start()
    for unit in UNITS:
        server.sql(f"ROLLBACK PREPARED '{GID.format(unit=unit)}'")
    assert found() == []


def is_waited_for_by(number: int) -> bool:
    return [one.waiting for one in found()] == [number]


def test_counts_who_waits_for_a_row_and_who_waits_for_a_table(lab: Lab) -> None:
    server = lab["doubtful"]
    server.sql("CREATE TABLE cod (id integer PRIMARY KEY)")
    gid = GID.format(unit=UNITS[0])
    server.sql(f"BEGIN; INSERT INTO cod VALUES (1); PREPARE TRANSACTION '{gid}'")
    waiting = ("INSERT INTO cod VALUES (1)", "ALTER TABLE cod ADD name text")
    with ThreadPoolExecutor() as pool:
        try:
            for number, sql in enumerate(waiting, start=1):
                pool.submit(server.sql, sql)
                until(partial(is_waited_for_by, number))
        finally:
            server.sql(f"ROLLBACK PREPARED '{gid}'")
    assert found() == []
