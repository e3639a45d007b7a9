"""
Two databases of each kind of server: `ledger` for the runs, `goods` to write on.

A test that asks for `ledger` runs on PostgreSQL, MariaDB and SQLite, commits for real,
and finds no table of Shoal's.
"""

import contextlib
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.test import override_settings

from shoal.lab import MariaDB, Postgres, lab_fixture
from shoal.transactions.saga import defining
from shoal.transactions.tables import TABLES
from tests.integration.publishing.conftest import aliases
from tests.integration.sagas.shop import sagas
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
ALIASES = ("ledger", "goods")
postgres_ledger = lab_fixture(Postgres("ledger"), scope="session")
mariadb_ledger = lab_fixture(MariaDB("ledger"), scope="session")

OURS = {saga.name: saga for saga in (sagas.booking, sagas.counting)}
for name in OURS:
    # They are known while a test has their database.
    del defining._registry[name]

VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite", marks=pytest.mark.crash),
    "mariadb": pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.crash]),
}


def only(*names):
    """Mark a test to run on some kinds of server."""
    some = [VENDORS[name] for name in names]
    return pytest.mark.parametrize("vendor", some, indirect=True)


@pytest.fixture(params=VENDORS.values())
def vendor(request):
    return request.param


@pytest.fixture
def databases(request, vendor, tmp_path):
    if vendor == "sqlite":
        return {
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(tmp_path / f"{alias}.db"),
                "OPTIONS": {"timeout": 60},
            }
            for alias in ALIASES
        }
    name = {"postgresql": "postgres_ledger", "mariadb": "mariadb_ledger"}[vendor]
    lab = request.getfixturevalue(name)
    if not hasattr(lab, "has_goods"):
        lab["ledger"].sql("CREATE DATABASE goods")
        lab.has_goods = True
    return {alias: {**lab["ledger"].alias, "NAME": alias} for alias in ALIASES}


@pytest.fixture
def ledger(databases, vendor, django_db_blocker) -> Iterator[str]:
    clusters = {**settings.SHOAL["CLUSTERS"], **{alias: {} for alias in ALIASES}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(aliases(databases))
        shoal = {"CLUSTERS": clusters, "CONTROL": "ledger"}
        stack.enter_context(override_settings(SHOAL=shoal))
        for alias in ALIASES:
            for model in TABLES:
                ask(f"DROP TABLE IF EXISTS {model._meta.db_table}", alias=alias)
            ask("DROP TABLE IF EXISTS counted", alias=alias)
            ask("CREATE TABLE counted (number integer)", alias=alias)
        defining._registry.update(OURS)
        stack.callback(defining._registry.clear)
        yield vendor


def ask(sql, *params, alias="ledger"):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []


SESSIONS = {
    "postgresql": "SELECT pid, datname FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid()",
    "mysql": "SELECT id, db FROM information_schema.processlist "
    "WHERE id <> connection_id()",
}


def sessions():
    """Return the database of each session of the server, by the session's number."""
    return dict(ask(SESSIONS[connections["ledger"].vendor]))


def end_sessions():
    """Cut the sessions on the ledger that are not this test's own."""
    end = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
    for number in on_ledger():
        # One that was closed before may have ended by itself meanwhile.
        with contextlib.suppress(DatabaseError):
            ask(end[connections["ledger"].vendor], number)
    until(lambda: not on_ledger())


def on_ledger():
    return [number for number, database in sessions().items() if database == "ledger"]


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.time = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)

    def __call__(self):
        return self.time

    def move(self, seconds):
        self.time += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return FakeClock()


class Processes:
    """Processes of their own, which run the sagas of `shop`."""

    def __init__(self, databases, effects):
        self.effects = effects
        self._sessions = effects.with_name("sessions")
        self._sessions.mkdir()
        self._errors = effects.with_name("errors").open("w+")
        environment = {
            **os.environ,
            "DATABASES": json.dumps({**databases, "default": {}}, default=str),
            "DJANGO_SETTINGS_MODULE": "tests.integration.sagas.settings",
        }
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.integration.sagas.process",
                str(self._sessions),
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def _answer(self, **wanted):
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, key, *, saga="booking", at=0, stop=False, **data):
        """Return the process that starts a run, and dies or stops at an event."""
        data["effects"] = str(self.effects)
        wanted = {"saga": saga, "key": key, "at": at, "stop": stop, "data": data}
        return self._answer(do="start", **wanted)

    def resume(self, *, at=0):
        return self._answer(do="resume", at=at)

    def wait(self, pid, *, stopped=False):
        """
        Return the exit status, negative for a signal; `None`: it is stopped.

        Who is dead has no session left when it returns: a server may be a moment late.
        """
        status = self._answer(wait=pid, stopped=stopped)
        noted = self._sessions / str(pid)
        if status is not None and noted.exists():
            its = {int(line) for line in noted.read_text().split()}
            until(lambda: its.isdisjoint(sessions()))
            noted.unlink()
        return status

    def lines(self):
        if not self.effects.exists():
            return []
        return [line.split() for line in self.effects.read_text().splitlines()]

    def errors(self):
        """Return what the processes have said on their way out."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self._errors.close()


@pytest.fixture
def processes(ledger, databases, tmp_path):
    made = Processes(databases, tmp_path / "effects")
    yield made
    made.close()
