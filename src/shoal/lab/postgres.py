"""
Takes a planned server and PostgreSQL's programs, gives it running.

Every primary has its own `initdb`, and so its own system identifier. A replica is a
copy of its primary's files from before the first start.
"""

import re
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from shoal.errors import LabError
from shoal.lab.binaries import PostgresBinaries
from shoal.lab.clients import Row, ask_postgres
from shoal.lab.plan import Cluster, Postgres
from shoal.lab.ports import HOST
from shoal.lab.privileges import give
from shoal.lab.server import USER, LabServer, Site

PAGE = 8192
PAGE_HEADER = 40
"""Size of the longest page header in the log; the first page of a file has it."""
BUILTIN_LOCALE = 17
"""The first version that brings the locale C.UTF-8 itself."""
PROMOTED_WITHIN = 60
PAUSED_WITHIN = 60

SETTINGS: Mapping[str, str] = {
    "wal_level": "logical",
    "max_prepared_transactions": "64",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_worker_processes": "16",
    "max_logical_replication_workers": "12",
    "hot_standby_feedback": "on",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    # A lab's data need not survive the machine, only the servers' crashes.
    "fsync": "off",
    "shared_buffers": "16MB",
    "min_wal_size": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}


class PostgresServer(LabServer):
    """A PostgreSQL primary, or a streaming replica with a slot of its own."""

    vendor = Postgres.vendor
    maintenance = "postgres"

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        site: Site,
        binaries: PostgresBinaries,
        upstream: LabServer | None = None,
    ) -> None:
        super().__init__(name, cluster=cluster, site=site, upstream=upstream)
        self._binaries = binaries

    @property
    def version(self) -> str:
        return self._binaries.version

    @property
    def client(self) -> str:
        return "psql" if shutil.which("psql") else self._binaries["psql"]

    @property
    def socket_path(self) -> Path:
        return self._home / f".s.PGSQL.{self.port}"

    def position(self) -> str:
        if self._upstream:
            return str(self.ask("select pg_last_wal_replay_lsn()")[0][0])
        return reachable_position(
            str(self.ask("select pg_current_wal_insert_lsn()")[0][0])
        )

    def follows(self) -> bool:
        upstream = self._must_be_replica("follows")
        states = upstream.ask(
            "select state from pg_stat_replication "
            f"where application_name = '{self.name}'"
        )
        return states == [("streaming",)]

    def _prepare(self) -> None:
        secret = self._home / "password"
        secret.touch(mode=0o600)
        give(secret, self._site.user)
        secret.write_text(self._site.password)
        options = ["--username", USER, "--pwfile", str(secret), "--encoding", "UTF8"]
        options += ["--auth-local", "trust", "--auth-host", "scram-sha-256"]
        options += ["--no-sync", "--no-instructions", *_locale(self._binaries.major)]
        # Less to write: a first data directory is mostly an empty segment.
        options += ["--wal-segsize", "4"]
        self._run(
            [self._binaries["initdb"], "-D", self.data_directory, *options],
            "make its data directory",
        )
        secret.unlink()

    def _configure(self) -> None:
        settings = {
            **SETTINGS,
            **self._cluster.settings,
            "cluster_name": self.name,
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self._home),
        }
        if self._upstream:
            standby = self.data_directory / "standby.signal"
            standby.touch()
            give(standby, self._site.user)
            settings["primary_slot_name"] = self.name
            settings["primary_conninfo"] = (
                f"host={self._upstream.socket_path.parent} "
                f"port={self._upstream.port} user={USER} application_name={self.name}"
            )
        lines = (f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        path = self.data_directory / "postgresql.conf"
        path.write_text("".join(lines), encoding="utf-8")

    def _begin(self) -> None:
        if self._upstream:
            return
        slots = "".join(
            f"select pg_create_physical_replication_slot('{name}', true);"
            for name in self._cluster.replicas
        )
        if slots:
            self.ask(slots)
        if self.database not in ("postgres", "template1"):
            # Copying files takes a third of the time, also where it is replayed.
            self.ask(f'create database "{self.database}" strategy file_copy')

    def _spawn(self) -> int:
        return self._site.tether.spawn(
            [self._binaries["postgres"], "-D", self.data_directory],
            log=self.log_path,
            last_signal=signal.SIGQUIT,
        )

    def _stop_signal(self, *, clean: bool) -> int:
        return signal.SIGINT if clean else signal.SIGQUIT

    def _query(self, statement: str, database: str, timeout: float) -> list[Row]:
        return ask_postgres(
            self.socket_path,
            user=USER,
            database=database,
            sql=statement,
            timeout=timeout,
        )

    def _pause(self) -> None:
        self.ask("select pg_wal_replay_pause()")
        self._await_pause_state("paused")

    def _resume(self) -> None:
        self.ask("select pg_wal_replay_resume()")
        self._await_pause_state("not paused")

    def _await_pause_state(self, wanted: str) -> None:
        deadline = time.monotonic() + PAUSED_WITHIN
        while self.ask("select pg_get_wal_replay_pause_state()") != [(wanted,)]:
            if time.monotonic() > deadline:
                raise LabError(
                    f"The replay of {self.name!r} is not {wanted!r} "
                    f"after {PAUSED_WITHIN} s.",
                    hint=f"Look into {str(self.log_path)!r}.",
                )
            time.sleep(0.005)

    def _promote(self) -> None:
        done = self.ask(
            f"select pg_promote(true, {PROMOTED_WITHIN})", timeout=PROMOTED_WITHIN + 5
        )
        if done != [(True,)]:
            raise LabError(
                f"{self.name!r} is still a replica after {PROMOTED_WITHIN} s.",
                hint=f"Look into {str(self.log_path)!r}.",
            )

    def _reaches(self, position: str, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        statement = f"select pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"
        while self.ask(statement) != [(True,)]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


def reachable_position(insert: str) -> str:
    """
    Return the position that a replica reaches when it has all before `insert`.

    Right behind a page's header there is nothing to replay yet, so an idle replica
    stays at the start of that page.
    """
    high, low = (int(part, 16) for part in insert.split("/"))
    if low % PAGE <= PAGE_HEADER:
        low -= low % PAGE
    return f"{high:X}/{low:X}"


def _locale(major: int) -> list[str]:
    """Return the options for an order of text that is the same on all machines."""
    if major >= BUILTIN_LOCALE:
        return ["--locale-provider=builtin", "--locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]


def _quoted(value: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\1\1", value) + "'"
