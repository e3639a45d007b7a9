"""
Three databases on servers of their own, which may be killed, and processes on them.

Takes the labs, gives a `Site`: what a test does to the processes and the servers, and
what it finds afterwards.
"""

import contextlib
import itertools
import json
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import override_settings

from shoal.lab import LabServer
from shoal.lab.processes import runs
from shoal.topology.probe.asking import close, open_apart
from shoal.transactions import tables
from shoal.transactions.engines import ENGINES
from shoal.transactions.naming import BranchName
from shoal.transactions.recovering import Recovery, recover
from tests.integration.publishing.conftest import aliases
from tests.integration.transactions.asking import (
    ask,
    decided,
    prepared,
    until_all_have_ended,
)
from tests.waiting import until

WITHIN = 60.0
KINDS = ("postgresql", "postgresql_15", "mariadb", "mixed")
ROOT = Path(__file__).parents[3]
LOCKED_AT_MOST = {
    "postgresql": "SET lock_timeout = '15s'",
    "mysql": "SET innodb_lock_wait_timeout = 15, lock_wait_timeout = 15",
    "sqlite": "PRAGMA busy_timeout = 15000",
}


@dataclass
class Site:
    """A project of a few clusters, each database on a server of its own."""

    databases: Mapping[str, dict[str, Any]]
    servers: Mapping[str, LabServer]
    """Those that can be killed, by the alias."""
    clusters: dict[str, Any] = field(default_factory=dict)
    """Those with options, by the name."""
    apps: Sequence[str] = ()
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def names(self) -> tuple[str, ...]:
        """The aliases that have a server: a sharded one has none."""
        return tuple(name for name in self.databases if not self._shards(name))

    def _shards(self, name: str) -> Sequence[str]:
        return self.clusters.get(name, {}).get("SHARDS", ())

    @property
    def shoal(self) -> dict[str, Any]:
        shards = {shard for name in self.clusters for shard in self._shards(name)}
        plain: dict[str, Any] = {name: {} for name in self.names if name not in shards}
        return {"CLUSTERS": plain | self.clusters}

    @contextlib.contextmanager
    def opened(self) -> Iterator["Site"]:
        """Let this process be of the project for a block, with new tables."""
        with override_settings(SHOAL=self.shoal), aliases(self.databases):
            for name in self.names:
                ask(name, "DROP TABLE IF EXISTS note")
                ask(name, "CREATE TABLE note (id integer PRIMARY KEY, text text)")
                tables.create(name)
            yield self

    def reset(self) -> None:
        """Let all servers run, with one row in each table."""
        for server in self.servers.values():
            server.start()
        for name in self.names:
            connections[name].close()
        if prepared(*self.names):
            # A test that failed has left it, and its locks would last for ever.
            recover()
        for name in self.names:
            ask(name, "DELETE FROM note")
            ask(name, "INSERT INTO note VALUES (0, '')")

    # Work in this process.

    def write(self, number: int, *names: str) -> None:
        """What a unit does, on each server: change a row, and add one."""
        for name in names or self.names:
            with connections[name].cursor() as cursor:
                cursor.execute("UPDATE note SET text = %s WHERE id = 0", [str(number)])
                cursor.execute("INSERT INTO note VALUES (%s, '')", [number])

    def leave_in_doubt(self, count: int = 1, *, is_decided: bool) -> list[str]:
        """Be a coordinator that died, so many times; return its units."""
        home, *others = self.names
        identity = tables.create(home)
        # No two write the same row: the second would wait for the first.
        rows = random.sample(range(16**7), count)
        units = [f"{row:07x}{secrets.token_hex(16)[7:]}" for row in rows]
        servers = {alias: tables.create(alias) for alias in others}
        with _deciding(home, units if is_decided else [], json.dumps(servers)):
            for number, alias in enumerate(others, start=1):
                named = [
                    BranchName(unit=unit, number=number, identity=identity, home=home)
                    for unit in units
                ]
                # Of MariaDB's a session prepares one, and then takes nothing but its
                # end.
                is_alone = connections[alias].vendor == "mysql"
                for some in [[name] for name in named] if is_alone else [named]:
                    _prepare(alias, some)
        return units

    # Processes.

    def environ(self, **databases: Any) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.integration.transactions.project",
            "TEST_DATABASES": json.dumps({**self.databases, **databases}),
            "TEST_APPS": json.dumps(list(self.apps)),
            "TEST_SHOAL": json.dumps(self.shoal),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            "PYTHONWARNINGS": "error",
        }

    def popen(self, *argv: str, **databases: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env=self.environ(**databases),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        *,
        halt: str | None = None,
        how: str = "ask",
        settle: float = 1.0,
        **databases: Any,
    ) -> "Work":
        """Start a process that writes a row on each server in one unit of work."""
        order = {
            "aliases": self.names,
            "number": next(self.numbers),
            "halt": halt,
            "how": how,
            "settle": settle,
        }
        module = "tests.integration.transactions.process"
        process = self.popen("-m", module, json.dumps(order), **databases)
        return Work(process, order["number"])

    def command(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py shoal ...` to its end."""
        process = self.popen("-m", "django", "shoal", *argv)
        out, err = process.communicate(timeout=WITHIN)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    # What is found.

    def stored(self, number: int) -> dict[str, bool]:
        """Say for each database whether the unit has written there, all of it."""
        found = {}
        for name in self.names:
            sql = "SELECT id, text FROM note WHERE id IN (0, {}) ORDER BY id"
            rows = ask(name, sql.format(number))
            assert rows[0][1] in ("", str(number))
            assert len(rows) == (2 if rows[0][1] else 1), rows
            found[name] = len(rows) == 2
        return found

    def require_unlocked(self, number: int) -> None:
        """Write the same rows at once, as others would."""
        for name in self.names:
            connection: Any = open_apart(name)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(LOCKED_AT_MOST[connection.vendor])
                    cursor.execute(f"DELETE FROM note WHERE id IN (0, {number})")
                    cursor.execute(f"INSERT INTO note VALUES (0, ''), ({number}, '')")
            finally:
                close(connection)

    def require_finished(self, number: int, told: str) -> bool:
        """
        Recover, then look for anything that is left; say whether it committed.

        Who was killed has told several servers at once to prepare, perhaps: what a
        server does of that after it was looked at is for the next to recover.
        """
        for server in self.servers.values():
            server.start()
        until_all_have_ended(*self.names)
        recovery = recover()
        assert recovery.left == [], recovery
        assert recovery.down == {}
        assert prepared(*self.names) == []
        assert decided(*self.names) == []
        assert recover() == Recovery()
        stored = self.stored(number)
        assert len(set(stored.values())) == 1, (told, stored)
        self.require_unlocked(number)
        has_committed = all(stored.values())
        if told == "told of success":
            assert has_committed
        elif told.startswith("error") and "CommitInDoubt" not in told:
            assert not has_committed, told
        return has_committed


class Work:
    """A process with a unit of work."""

    def __init__(self, process: "subprocess.Popen[str]", number: int) -> None:
        self._process = process
        self.number = number
        self.said: list[str] = []

    def reached(self, step: str) -> None:
        """Return when it is there."""
        assert self._process.stdout is not None
        while step not in self.said:
            line = self._process.stdout.readline()
            assert line, (self.said, self._process.communicate())
            self.said.append(line.strip())

    def stopped(self, step: str) -> None:
        """Return when it has stopped itself there."""
        self.reached(step)
        until(lambda: _is_stopped(self._process.pid))

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> str:
        """Return the last it has said, once it has ended, or has been killed."""
        out, err = self._process.communicate(timeout=WITHIN)
        self.said += out.split("\n")[:-1]
        assert self._process.returncode in (0, -signal.SIGKILL), err
        assert "Traceback" not in err, err
        self.err = err
        return self.said[-1] if self._process.returncode == 0 else ""

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate(timeout=WITHIN)


def number_of(unit: str) -> int:
    """Return the row that a unit of `leave_in_doubt` has written."""
    return int(unit[:7], 16) + 1


@contextlib.contextmanager
def _deciding(home: str, units: Sequence[str], servers: str) -> Iterator[None]:
    """Let who looks within the block wait for the decisions, which are its end."""
    connection: Any = open_apart(home)
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            for unit in units:
                now = "1970-01-01" if number_of(unit) % 2 else "2262-01-01"
                cursor.execute(
                    "INSERT INTO shoal_decision (unit, servers, at) VALUES "
                    f"('{unit}', '{servers}', '{now}')"
                )
            yield
            cursor.execute("COMMIT")
    finally:
        close(connection)


def _prepare(alias: str, names: Sequence[BranchName]) -> None:
    connection: Any = open_apart(alias)
    connection.settings_dict["AUTOCOMMIT"] = True
    try:
        with connection.cursor() as cursor:
            engine = ENGINES[connection.vendor]
            for name in names:
                cursor.execute(engine.start(name) if engine.start else "BEGIN")
                row = number_of(name.unit)
                cursor.execute(f"INSERT INTO note VALUES ({row}, '')")
                for sql in engine.prepare(name):
                    cursor.execute(sql)
    finally:
        close(connection)


def kill(server: LabServer) -> None:
    """SIGKILL a server and all processes of it: nothing is written any more."""
    # One that it begins meanwhile would outlive it, and keep it from starting again.
    os.kill(server.pid, signal.SIGSTOP)
    until(lambda: _is_stopped(server.pid))
    family = [server.pid, *_children(server.pid)]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(runs, family)))


def _is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found
