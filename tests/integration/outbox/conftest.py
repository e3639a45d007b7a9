"""
Two databases, `source` and `target`, on each kind of server.

A test that asks for `post` runs on PostgreSQL, MariaDB and SQLite, commits for real and
finds every table empty.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.test import override_settings

from shoal.lab import MariaDB, Postgres, lab_fixture
from shoal.transactions import outbox
from shoal.transactions.outbox.receiving import registered
from shoal.transactions.tables import TABLES, create
from tests.integration.outbox.places import SHOAL
from tests.integration.outbox.post.models import Applied, Order
from tests.integration.publishing.conftest import aliases

ROOT = Path(__file__).resolve().parents[3]
ALIASES = ("source", "target")
TIMEOUT = 60

postgresql_post = lab_fixture(Postgres("post"), scope="session")
mariadb_post = lab_fixture(MariaDB("post"), scope="session")

VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite", marks=pytest.mark.crash),
    "mariadb": pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.crash]),
}


def only(*names: str) -> Any:
    some = [VENDORS[name] for name in names]
    return pytest.mark.parametrize("vendor", some, indirect=True, scope="module")


@pytest.fixture(scope="module", params=VENDORS.values())
def vendor(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def made(request: Any) -> dict[str, dict[str, Any]]:
    return {}


@pytest.fixture(scope="module")
def databases(
    request: Any, vendor: str, made: dict[str, Any], tmp_path_factory: Any
) -> Any:
    if vendor not in made:
        made[vendor] = _make(request, vendor, tmp_path_factory)
    return made[vendor]


def _make(request: Any, vendor: str, tmp_path_factory: Any) -> Any:
    if vendor == "sqlite":
        folder = tmp_path_factory.mktemp("post")
        return {
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / f"{alias}.db"),
                "OPTIONS": {"timeout": 20},
            }
            for alias in ALIASES
        }
    server = request.getfixturevalue(f"{vendor}_post")["post"]
    for alias in ALIASES:
        server.sql(f"CREATE DATABASE {alias}")
    return {alias: {**server.alias, "NAME": alias} for alias in ALIASES}


@pytest.fixture(scope="module")
def open_post(vendor: str, databases: Any, django_db_blocker: Any) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        apps = [*settings.INSTALLED_APPS, "tests.integration.outbox.post"]
        stack.enter_context(override_settings(INSTALLED_APPS=apps, SHOAL=SHOAL))
        stack.enter_context(aliases(databases))
        for alias, model in (("source", Order), ("target", Applied)):
            if not _has(alias, model._meta.db_table):
                with connections[alias].schema_editor() as editor:
                    editor.create_model(model)
        yield vendor


def _has(alias: str, table: str) -> bool:
    return table in connections[alias].introspection.table_names()


@pytest.fixture
def post(open_post: str) -> Iterator[str]:
    own = [model._meta.db_table for model in TABLES]
    for alias in ALIASES:
        create(alias)
        for table in ("post_order", "post_applied", *own):
            if _has(alias, table):
                ask(alias, f"DELETE FROM {table}")
    before = registered._by_topic
    registered._by_topic = {}
    yield open_post
    registered._by_topic = before
    for alias in ALIASES:
        if connections[alias].in_atomic_block:
            connections[alias].close()
            del connections[alias]


@pytest.fixture
def received(post: str) -> list[outbox.Message]:
    """What the receiver of "noted" was given, which is no more than a function."""
    found: list[outbox.Message] = []
    outbox.receiver("noted", name="note")(found.append)
    return found


def ask(alias: str, sql: str, *params: Any) -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []


def send(topic: str, body: Any = None, **kwargs: Any) -> str:
    """Send a message in a transaction of its own."""
    with transaction.atomic(using="source"):
        return outbox.send(topic, body, using="source", **kwargs)


def applied() -> list[tuple[str, int]]:
    rows = Applied.objects.using("target").order_by("id")
    return list(rows.values_list("key", "number"))


def left() -> int:
    ((count,),) = ask("source", "SELECT count(*) FROM shoal_message")
    return int(count)


def make_due() -> None:
    ask("source", "UPDATE shoal_message SET due = 0")


@pytest.fixture
def worker(databases: Any) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a worker that kills itself at the n-th event."""
    environ = {
        **os.environ,
        "DATABASES": json.dumps(databases),
        "DJANGO_SETTINGS_MODULE": "tests.integration.outbox.settings",
        "PYTHONWARNINGS": "error",
    }

    def start(event: str = "none", count: int = 1) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.integration.outbox.worker",
                event,
                f"{count}",
            ],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
