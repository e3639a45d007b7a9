"""A project that has another `search_path` than a new connection: a tenant's."""

import contextlib

import pytest
from django.db import ProgrammingError, connections

from shoal.placement.control import reached
from shoal.transactions import atomic, committing, outbox, tables
from shoal.transactions.recovering import recover
from tests.integration.transactions.conftest import (
    TRIO,
    decided,
    prepared,
    stored,
    trio_on,
    write,
)
from tests.tenants import PATHS, tenant

pytestmark = trio_on("postgresql")
OURS = [model._meta.db_table for model in tables.TABLES]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("alias", ["left", "right"])
def test_what_a_tenant_decides_everybody_finds(
    trio: str, monkeypatch: pytest.MonkeyPatch, alias: str, path: str, is_known: bool
) -> None:
    """Its schema has tables of the same names, and another identity in them."""
    tables.create(alias)
    if is_known:
        with atomic(*TRIO):
            write("left", 8)
            write("right", 8)
    else:
        connections[alias].close()

    def die(*args: object) -> None:
        raise Killed

    with tenant(alias, path, ["note", *OURS]):
        with connections[alias].cursor() as cursor:
            cursor.execute("INSERT INTO tenant.shoal_identity VALUES (1, 'abcdabcd')")
        monkeypatch.setattr(committing, "_finish", die)
        with contextlib.suppress(Killed), atomic(*TRIO):
            write("left")
            write("right")
        monkeypatch.undo()
        # Whoever died has told nobody.
        connections["left"].close()
        connections["right"].close()
        assert len(prepared()) == 1
        recovery = recover(wait=5)
        assert [one.fate for one in recovery.found] == ["committed"]
        assert (recovery.left, prepared(), decided()) == ([], [], [])
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SET search_path = {path}")
            cursor.execute("SELECT id FROM note")
            assert cursor.fetchall() == [(1,)]
    other = "right" if alias == "left" else "left"
    assert stored(other) == [[1, 8] if is_known else [1]]


def test_the_tables_are_made_where_everybody_finds_them(trio: str) -> None:
    with connections["left"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS shoal_identity, shoal_decision")
    connections["left"].close()
    with tenant("left", "tenant", ["note"]):
        for number in (1, 2):
            with atomic(*TRIO):
                write("left", number)
                write("right", number)
        with connections["left"].cursor() as cursor:
            cursor.execute("SELECT to_regclass('public.shoal_decision') IS NOT NULL")
            assert cursor.fetchone() == (True,)
    assert stored("right") == [[1, 2]]


def test_tables_that_somebody_has_dropped_are_made_again(trio: str) -> None:
    write_on_two(1)
    with reached("left") as there:
        there.run("DROP TABLE shoal_identity, shoal_decision")
    with pytest.raises(ProgrammingError, match="shoal_decision"):
        write_on_two(2)
    write_on_two(3)
    assert stored() == [[1, 3], [1, 3], []]
    assert prepared() == []


def write_on_two(number: int) -> None:
    with atomic(*TRIO):
        write("left", number)
        write("right", number)


@pytest.mark.parametrize("schema", ["a%s", "a;b", 'a"b', "A b", "a\\1"])
def test_a_schema_may_have_any_name(trio: str, schema: str) -> None:
    name = '"{}"'.format(schema.replace('"', '""'))
    tables.create("left")
    with connections["left"].cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {name}")
        for table in OURS:
            cursor.execute(f"ALTER TABLE {table} SET SCHEMA {name}")
        cursor.execute(f"ALTER ROLE CURRENT_USER SET search_path = {name}, public")
    connections["left"].close()
    try:
        with atomic(*TRIO):
            write("left")
            write("right")
            outbox.send("told", using="left")
        assert stored() == [[1], [1], []]
    finally:
        with connections["left"].cursor() as cursor:
            cursor.execute("ALTER ROLE CURRENT_USER RESET search_path")
            cursor.execute(f"DROP SCHEMA {name} CASCADE")
        connections["left"].close()
