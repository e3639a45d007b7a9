"""
Three databases that may share a unit of work: `left`, `right` and `third`.

A test that asks for `trio` runs on each kind of server, and on a mixture of them. It
commits for real, and finds the tables empty and nothing prepared.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from shoal.lab import Lab, MariaDB, Postgres, lab_fixture
from shoal.transactions import decisions
from tests.integration.lab.conftest import DEBIAN_15, leave_out
from tests.integration.publishing.conftest import aliases
from tests.integration.transactions.apart import Site
from tests.integration.transactions.asking import TRIO, ask, decided, prepared
from tests.sharded.servers import FAST

__all__ = ["TRIO", "decided", "prepared"]
KINDS = {
    "postgresql": ("postgresql",) * 3,
    "mariadb": ("mariadb",) * 3,
    "mixed": ("postgresql", "mariadb", "mariadb"),
    "with_sqlite": ("mariadb", "sqlite", "postgresql"),
}

postgres_trio = lab_fixture(Postgres("trio", settings=FAST), scope="session")
mariadb_trio = lab_fixture(MariaDB("trio"), scope="session")
postgres_apart = lab_fixture(*map(Postgres, TRIO), scope="session")
mariadb_apart = lab_fixture(*map(MariaDB, TRIO), scope="session")
LABS = {
    "postgresql": ("postgres_apart",) * 3,
    "postgresql_15": ("postgres_15_apart",) * 3,
    "mariadb": ("mariadb_apart",) * 3,
    "mixed": (None, "postgres_apart", "mariadb_apart"),
}


def _marked(kinds: Iterable[str]) -> list[Any]:
    needs_mariadb = [kind for kind, vendors in KINDS.items() if "mariadb" in vendors]
    return [
        pytest.param(kind, marks=pytest.mark.mariadb if kind in needs_mariadb else ())
        for kind in kinds
    ]


def trio_on(*kinds: str) -> Any:
    """Mark a test to run on some kinds of server only."""
    return pytest.mark.parametrize(
        "trio_kind", _marked(kinds), indirect=True, scope="module"
    )


@pytest.fixture(scope="module", params=_marked(KINDS))
def trio_kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def open_trio(
    request: Any, trio_kind: str, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[str]:
    vendors = KINDS.get(trio_kind, (trio_kind,) * 3)
    databases = {
        alias: _database(request, vendor, alias)
        for alias, vendor in zip(TRIO, vendors, strict=True)
    }
    with django_db_blocker.unblock(), clusters(databases):
        yield trio_kind


@contextlib.contextmanager
def clusters(databases: dict[str, Any], **options: Any) -> Iterator[None]:
    """Let these databases be clusters, each with a table, for a block."""
    setting = copy.deepcopy(settings.SHOAL)
    setting["CLUSTERS"] |= {alias: dict(options) for alias in databases}
    with contextlib.ExitStack() as stack:
        stack.enter_context(override_settings(SHOAL=setting))
        stack.enter_context(aliases(databases))
        for alias in databases:
            with connections[alias].cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS note")
                cursor.execute(
                    "CREATE TABLE note (id integer PRIMARY KEY, text varchar(99))"
                )
        yield


def _database(request: Any, vendor: str, alias: str) -> dict[str, Any]:
    if vendor == "sqlite":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("trio")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / f"{alias}.db"),
        }
    kind = {"postgresql": "postgres", "mariadb": "mariadb"}[vendor]
    server = request.getfixturevalue(f"{kind}_trio")["trio"]
    name = f"trio_{alias}"
    server.sql(f"DROP DATABASE IF EXISTS {name}")
    server.sql(f"CREATE DATABASE {name}")
    return {**server.alias, "NAME": name}


@pytest.fixture(scope="session")
def postgres_15_apart() -> Iterator[Lab]:
    if not (DEBIAN_15 / "postgres").exists():
        leave_out(f"{DEBIAN_15} has no PostgreSQL")
    with Lab(*map(Postgres, TRIO), pg_bin=DEBIAN_15) as lab:
        yield lab


@pytest.fixture(scope="module")
def site_kind(request: Any) -> str:
    return str(getattr(request, "param", "postgresql"))


@pytest.fixture(scope="module")
def open_site(
    site_kind: str, request: Any, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[Site]:
    """Databases on servers of their own."""
    servers = {
        alias: request.getfixturevalue(lab)[alias]
        for alias, lab in zip(TRIO, LABS[site_kind], strict=True)
        if lab is not None
    }
    for server in servers.values():
        server.start()
    databases = {alias: server.alias for alias, server in servers.items()}
    if site_kind == "mixed":
        name = str(tmp_path_factory.mktemp("apart") / "left.db")
        sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        databases = {"left": sqlite, **databases}
    with django_db_blocker.unblock(), Site(databases, servers).opened() as site:
        yield site


@pytest.fixture(autouse=True)
def decisions_are_deleted_at_once() -> Iterator[None]:
    """So that a test sees that nothing is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "TOGETHER", 1)
        yield


@pytest.fixture
def site(open_site: Site) -> Site:
    open_site.reset()
    return open_site


@pytest.fixture
def trio(open_trio: str) -> Iterator[str]:
    for alias in TRIO:
        with connections[alias].cursor() as cursor:
            cursor.execute("DELETE FROM note")
    yield open_trio
    for alias in TRIO:
        if connections[alias].in_atomic_block:
            connections[alias].close()
            del connections[alias]


def write(alias: str, number: int = 1, text: str = "") -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES (%s, %s)", [number, text])


def read(alias: str) -> list[int]:
    """Return what the project's own connection sees."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT id FROM note ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def stored(*names: str) -> list[list[int]]:
    """Return what others see: what is committed on each server."""
    return [
        [row[0] for row in ask(alias, "SELECT id FROM note ORDER BY id")]
        for alias in names or TRIO
    ]
