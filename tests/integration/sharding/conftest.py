"""
A control database of each kind, empty before each test.

A test that asks for `control` runs on PostgreSQL, MariaDB and SQLite, and commits for
real. Which servers the shards are on does not matter to it.
"""

import contextlib
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from shoal.lab import MariaDB, Postgres, lab_fixture
from shoal.placement.control import TABLES
from shoal.topology import Cluster
from tests.integration.publishing.conftest import aliases
from tests.sharded.beside import asked, goods  # noqa: F401

postgres_control = lab_fixture(Postgres("control"), scope="session")
mariadb_control = lab_fixture(MariaDB("control"), scope="session")

VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite"),
    "mariadb": pytest.param("mariadb", marks=pytest.mark.mariadb),
}


def only(*names):
    """Mark a test to run on some kinds of server."""
    some = [VENDORS[name] for name in names]
    return pytest.mark.parametrize("vendor", some, indirect=True)


@pytest.fixture(params=VENDORS.values())
def vendor(request):
    return request.param


@pytest.fixture
def control_database(request, vendor, tmp_path):
    if vendor == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "control.db"),
            "OPTIONS": {"timeout": 60},
        }
    name = {"postgresql": "postgres_control", "mariadb": "mariadb_control"}[vendor]
    return request.getfixturevalue(name).databases["control"]


@pytest.fixture
def control(control_database, vendor, django_db_blocker) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(aliases({"control": control_database}))
        stack.enter_context(
            override_settings(SHOAL={**settings.SHOAL, "CONTROL": "control"})
        )
        drop_tables()
        yield vendor


def drop_tables():
    for model in TABLES:
        ask(f"DROP TABLE IF EXISTS {model._meta.db_table}")


def ask(sql, *params):
    with connections["control"].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []


def sharded(*shards, name="shop"):
    """Return a cluster as the setting would give it."""
    names = shards or ("shop_0", "shop_1")
    return Cluster(name=name, shards=tuple(Cluster(name=shard) for shard in names))
