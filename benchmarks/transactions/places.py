"""
Takes a lab's servers, gives Django set up on them: four plain databases, eight shards.

Each server has one database of its own name for each cluster, so that all ways write on
the same four servers.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from typing import Any

import django
from django.conf import settings

from shoal.lab import Lab, LabServer, MariaDB, Postgres

KINDS = {"postgresql": "pg", "mariadb": "maria"}
"""Each kind of server, and how its aliases begin."""
MANY = (2, 4)
"""Servers of a unit."""
MOST = max(MANY)
POSTGRESQL = {
    # A lab's own default is off, with which a commit waits for nothing.
    "fsync": "on",
    "synchronous_commit": "on",
    "autovacuum": "off",
    "max_wal_size": "1GB",
    "shared_buffers": "128MB",
}
MARIADB = {
    "innodb_flush_method": "fsync",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_log_file_size": "256M",
}
DURABLE = {
    "postgresql": ("SHOW fsync", "SHOW synchronous_commit", "SHOW full_page_writes"),
    "mariadb": (
        "SELECT @@innodb_flush_log_at_trx_commit = 1",
        "SELECT @@innodb_flush_method <> 'nosync'",
    ),
}
"""What has to answer `on`, or 1."""
TABLE = {
    "postgresql": "CREATE TABLE note (id bigserial PRIMARY KEY, text text)",
    "mariadb": "CREATE TABLE note (id bigint AUTO_INCREMENT PRIMARY KEY, text text)",
}
SYNCED = 200
"""How often the disk is asked."""


def planned() -> Lab:
    return Lab(
        *(Postgres(alias, settings=POSTGRESQL) for alias in plain("postgresql")),
        *(MariaDB(alias, settings=MARIADB) for alias in plain("mariadb")),
    )


def plain(kind: str) -> list[str]:
    """Return the aliases of the plain databases, one on each server."""
    return [f"{KINDS[kind]}_{n}" for n in range(MOST)]


def sharded(kind: str, many: int) -> str:
    return f"{KINDS[kind]}_of_{many}"


def shards(kind: str, many: int) -> list[str]:
    return [f"{sharded(kind, many)}_{n}" for n in range(many)]


def configure(lab: Lab) -> None:
    """Make the databases and their tables, and set up Django."""
    databases: dict[str, Any] = dict(lab.databases)
    clusters: dict[str, Any] = {alias: {} for alias in databases}
    for kind in KINDS:
        for many in MANY:
            for alias, on in zip(shards(kind, many), plain(kind), strict=False):
                lab[on].sql(f"CREATE DATABASE {alias}")
                databases[alias] = {**databases[on], "NAME": alias}
            name = sharded(kind, many)
            databases[name] = {"ENGINE": "shoal.backends.sharded"}
            clusters[name] = {"SHARDS": shards(kind, many)}
    settings.configure(
        SECRET_KEY="for benchmarks only",
        DATABASES={"default": {}, **databases},
        DATABASE_ROUTERS=["shoal.routing.Router"],
        INSTALLED_APPS=["shoal"],
        USE_TZ=True,
        SHOAL={"CLUSTERS": clusters, "CONTROL": plain("postgresql")[0]},
    )
    django.setup()
    for kind in KINDS:
        _require_durable(kind, (lab[alias] for alias in plain(kind)))
        _make_tables(kind)


def _require_durable(kind: str, servers: Iterable[LabServer]) -> None:
    """Raise if a server commits without its disk: all that follows would be a lie."""
    for server in servers:
        for sql in DURABLE[kind]:
            [[found]] = server.ask(sql)
            if found not in ("on", 1):
                raise AssertionError(f"{server.name} answers {found!r} to {sql}")


def _make_tables(kind: str) -> None:
    from django.db import connections

    from shoal.transactions.tables import create

    for alias in (*plain(kind), *(one for many in MANY for one in shards(kind, many))):
        create(alias)
        with connections[alias].cursor() as cursor:
            cursor.execute(TABLE[kind])


def synced_ms() -> Mapping[str, float]:
    """Return how long the disk takes to write a page of the lab's, in milliseconds."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCED):
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    last = statistics.quantiles(took, n=100)[-1]
    median = statistics.median(took)
    return {"median": round(median * 1e3, 3), "p99": round(last * 1e3, 3)}
