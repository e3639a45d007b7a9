"""Servers, and a project of three clusters on them with databases of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shoal.lab import Lab, Postgres
from tests.waiting import until

PROJECT = Path(__file__).parent / "project"
TIMEOUT = 180
SHOAL = {
    "CLUSTERS": {
        "accounts": {"APPS": ["contenttypes"]},
        "library": {"APPS": ["library"], "REPLICAS": ["library_r1"]},
        "press": {
            "APPS": ["press"],
            "ROLES": {"public": "press", "draft": "press_draft"},
        },
    }
}
SERVER_OF = {
    "accounts": "west",
    "library": "north",
    "library_r1": "north_r1",
    "press": "east",
    "press_draft": "west",
    "rest": "east",
}
"""`rest` belongs to no cluster; only some tests use it."""
EACH = """
import contextlib, io, json, sys
from django.core.management import execute_from_command_line

done = []
for argv in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            execute_from_command_line(["manage.py", "shoal", *argv])
        except SystemExit as end:
            code = end.code
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Project:
    """The project in `project/`, run as a user runs it: by its `manage.py`."""

    servers: Lab
    databases: dict[str, dict[str, Any]]
    rest: dict[str, Any] = field(default_factory=dict)
    """An entry for a database that belongs to no cluster."""
    shoal: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(SHOAL)))

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TEST_DATABASES": json.dumps(self.databases),
            "TEST_SHOAL": json.dumps(self.shoal),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "error",
            **more,
        }

    def start(self, *argv: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "manage.py", *argv],
            cwd=PROJECT,
            env=self.environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def manage(self, *argv: str, code: int = 0, **environ: str) -> Done:
        """Run to the end; fail unless the exit status is `code`, without traceback."""
        with self.start(*argv, **environ) as process:
            return self.end(process, code)

    def end(self, process: "subprocess.Popen[str]", code: int = 0) -> Done:
        stdout, stderr = process.communicate(timeout=TIMEOUT)
        done = Done(process.returncode, stdout, stderr)
        assert done.code == code, f"{done.code}\n{stdout}\n{stderr}"
        assert "Traceback" not in stdout + stderr, stdout + stderr
        assert "\x1b" not in stdout + stderr
        for database in self.databases.values():
            if database.get("PASSWORD"):
                assert database["PASSWORD"] not in stdout + stderr
        return done

    def shoal_command(self, *argv: str, code: int = 0, **environ: str) -> Done:
        return self.manage("shoal", *argv, code=code, **environ)

    def each(self, *commands: Sequence[str], **environ: str) -> list[Done]:
        """Run several command lines in one process, which is much quicker."""
        done = self.end(self.python(EACH, json.dumps(commands), **environ))
        return [Done(*one) for one in done.data]

    def each_until(
        self, seen: Callable[..., bool], *commands: Sequence[str]
    ) -> list[Done]:
        """Run several command lines, and all of them again until this was seen."""
        found: list[Done] = []

        def look() -> bool:
            found[:] = self.each(*commands)
            return seen(*found)

        until(look, within=TIMEOUT)
        return found

    def python(self, *argv: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", *argv],
            cwd=PROJECT,
            env=self.environ(DJANGO_SETTINGS_MODULE="config.settings", **environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, alias: str, sql: str) -> list[tuple[Any, ...]]:
        """Ask the server itself, past Django."""
        with psycopg.connect(**connect(self.databases[alias]), autocommit=True) as link:
            cursor = link.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def tables(self, alias: str) -> set[str]:
        """Return the project's tables: those of Shoal's own are in each database."""
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        found = {name for (name,) in self.ask(alias, sql)}
        return {name for name in found if not name.startswith("shoal_")}

    def has_received(self) -> bool:
        """Say whether the replica has what is written so far, replayed or not."""
        written = self.servers["north"].position()
        ask = f"SELECT pg_last_wal_receive_lsn() >= '{written}'::pg_lsn"
        return self.servers["north_r1"].ask(ask) == [(True,)]

    def applied(self, alias: str, app: str) -> list[str]:
        if "django_migrations" not in self.tables(alias):
            return []
        sql = f"SELECT name FROM django_migrations WHERE app = '{app}' ORDER BY name"
        return [name for (name,) in self.ask(alias, sql)]


def states_of(top: Done) -> dict[str, str]:
    """Return the state of each server, by alias."""
    return {alias: server["state"] for alias, server in servers_of(top.data).items()}


def servers_of(data: Any) -> dict[str, Any]:
    return {
        server["alias"]: server
        for cluster in data["clusters"]
        for edition in cluster["editions"]
        for server in edition["servers"]
    }


def connect(database: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "host": database["HOST"],
        "port": database["PORT"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "dbname": database["NAME"],
    }


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab(
        Postgres("north", replicas=("north_r1",)), Postgres("east"), Postgres("west")
    ) as servers:
        yield servers


@pytest.fixture(scope="session")
def databases(lab: Lab) -> dict[str, dict[str, Any]]:
    """An entry of `DATABASES` for every alias, made once for all tests."""
    found = {}
    for alias, server in SERVER_OF.items():
        name = "library" if alias == "library_r1" else alias
        if alias == name:
            lab[server].ask(f"CREATE DATABASE {name}")
        found[alias] = {**lab[server].alias, "NAME": name}
    lab["north_r1"].wait_until_replayed()
    return found


@pytest.fixture
def project(lab: Lab, databases: dict[str, dict[str, Any]]) -> Project:
    """Empty databases for every cluster, and an empty `default`."""
    entries = {alias: dict(entry) for alias, entry in databases.items()}
    project = Project(lab, {"default": {}, **entries})
    for alias in SERVER_OF:
        if alias != "library_r1":
            project.ask(alias, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    project.rest = project.databases.pop("rest")
    lab["north_r1"].wait_until_replayed()
    return project
