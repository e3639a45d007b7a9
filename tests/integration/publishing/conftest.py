"""
The cluster `press` with two editions on two servers, once for each kind of server.

A test that asks for `press` runs on PostgreSQL, MariaDB and SQLite. It commits for
real; every table is emptied before it.
"""

import contextlib
import copy
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections
from django.test import override_settings

from shoal.lab import MariaDB, Postgres, lab_fixture
from shoal.routing import unguarded

APP = "tests.integration.publishing.press"
ALIASES = ("press", "press_draft")
OTHERS = (ContentType, Permission, Group)

postgres_lab = lab_fixture(*map(Postgres, ALIASES), scope="session")
mariadb_lab = lab_fixture(MariaDB("press"), scope="session")


VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite"),
    "mariadb": pytest.param("mariadb", marks=pytest.mark.mariadb),
}
"""Beside these there is `"mixed"`: drafts on SQLite, the public on PostgreSQL."""


def only(*names):
    """Mark a test to run on some kinds of server."""
    some = [VENDORS.get(name, name) for name in names]
    return pytest.mark.parametrize("vendor", some, indirect=True, scope="module")


@pytest.fixture(scope="module", params=VENDORS.values())
def vendor(request):
    return request.param


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory):
    path = tmp_path_factory.mktemp("press")
    # Several publish at once, and each waits for all who came before it.
    kind = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 60}}
    return {a: {**kind, "NAME": f"{path}/{a}.db"} for a in ALIASES}


@pytest.fixture(scope="module")
def editions(request, vendor, django_db_blocker) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(aliases(request.getfixturevalue(f"{vendor}_databases")))
        stack.enter_context(
            override_settings(
                INSTALLED_APPS=[*settings.INSTALLED_APPS, APP], SHOAL=shoal()
            )
        )
        make_tables()
        yield


@pytest.fixture
def press(editions, vendor) -> str:
    for alias in ALIASES:
        empty(alias)
    return vendor


def shoal(*, apps=("press",), **more):
    """Return the setting of the tests with a cluster `press` that claims the apps."""
    setting = copy.deepcopy(settings.SHOAL)
    for cluster in setting["CLUSTERS"].values():
        cluster["APPS"] = [a for a in cluster.get("APPS", ()) if a not in apps]
    setting["CLUSTERS"]["press"] = {
        "APPS": list(apps),
        "ROLES": {"public": "press", "draft": "press_draft"},
        **more,
    }
    return setting


@pytest.fixture(scope="session")
def mariadb_databases(mariadb_lab):
    """Put both editions on one server, which MariaDB can do as well."""
    mariadb_lab["press"].sql("CREATE DATABASE press_draft")
    database = mariadb_lab.databases["press"]
    return {alias: {**database, "NAME": alias} for alias in ALIASES}


@pytest.fixture(scope="session")
def mixed_databases(sqlite_databases, postgresql_databases):
    return {"press": postgresql_databases["press"]} | {
        "press_draft": sqlite_databases["press_draft"]
    }


@pytest.fixture(scope="session")
def postgresql_databases(postgres_lab):
    return postgres_lab.databases


@contextlib.contextmanager
def aliases(added):
    """Add aliases to those of the settings, and take them away again."""
    known = connections.settings
    known.update({alias: dict(database) for alias, database in added.items()})
    connections.configure_settings(known)
    try:
        yield
    finally:
        for alias in added:
            connection = connections[alias]
            connection.close()
            if connection.connection is not None:  # In memory: Django keeps it.
                connection.connection.close()
            del connections[alias]
            del known[alias]


def models():
    return [*OTHERS, *apps.get_app_config("press").get_models()]


def make_tables():
    """Make them where they aren't: the servers stay for the whole session."""
    for alias in ALIASES:
        connection = connections[alias]
        if not connection.introspection.table_names():
            with connection.schema_editor() as editor:
                for model in models():
                    editor.create_model(model)


def empty(alias):
    """Empty the tables that have rows: much faster than all, on MariaDB above all."""
    connection = connections[alias]
    name = connection.ops.quote_name
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        asked = (f"SELECT '{t}' WHERE EXISTS (SELECT 1 FROM {name(t)})" for t in tables)
        cursor.execute(" UNION ALL ".join(asked))
        filled = [table for (table,) in cursor.fetchall()]
    statements = connection.ops.sql_flush(
        no_style(), filled, reset_sequences=True, allow_cascade=True
    )
    with unguarded(alias):
        connection.ops.execute_sql_flush(statements)
