"""The how-to pages do what they say, on real servers."""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from shoal.lab import Lab, MariaDB, Postgres, mariadb_available
from tests.integration.docs.pages import DOCS, Block
from tests.integration.docs.walking import Walk

ON_POSTGRESQL = (
    "foreign-keys-across-clusters",
    "internal-and-external",
    "messages-between-databases",
    "move-an-app",
    "no-default",
    "products-and-reviews",
    "public-and-draft",
    "read-your-own-writes",
    "tasks",
    "test-a-project",
    "two-databases-one-transaction",
    "two-models-of-one-app",
    "work-that-outlives-a-transaction",
)

SETTINGS = """
'''The project's settings, with the addresses of the lab's servers, and no mail sent.'''
import json, os
import django
from config.settings import *
_dummy = "django.core.mail.backends.dummy.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": _dummy}}
else:
    EMAIL_BACKEND = _dummy
_lab = json.loads(os.environ["LAB"])
_replicas = {r for c in SHOAL["CLUSTERS"].values() for r in c.get("REPLICAS", ())}
for _alias, _database in DATABASES.items():
    _engine = _database.get("ENGINE", "").rpartition(".")[2]
    if _engine in ("postgresql", "mysql"):
        _server = _engine + ("_replica" if _alias in _replicas else "")
        for _key in ("HOST", "PORT", "USER", "PASSWORD"):
            _database[_key] = _lab[_server][_key]
        _database["NAME"] = os.environ["PREFIX"] + (_database["NAME"] or "shop")
"""
NAMES = """
import json, settings_on_lab
names = [(d.get("ENGINE", ""), str(d.get("NAME", "")))
         for d in settings_on_lab.DATABASES.values()]
print(json.dumps(names))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(Postgres("postgresql", replicas=("postgresql_replica",))) as lab:
        yield lab


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Lab]:
    has_both = mariadb_available() and importlib.util.find_spec("MySQLdb")
    if not has_both and not os.environ.get("CI"):
        pytest.skip("mariadbd or mysqlclient is not installed")
    with Lab(MariaDB("mysql")) as lab:
        yield lab


class Reader(Walk):
    """A reader with a project of Django's own making, and servers of the lab."""

    def __init__(self, name: str, directory: Path, *labs: Lab) -> None:
        self.prefix = name.replace("-", "_")[:30] + "_"
        databases = {alias: d for lab in labs for alias, d in lab.databases.items()}
        super().__init__(
            DOCS / "how-to" / f"{name}.md",
            directory,
            {
                "LAB": json.dumps(databases),
                "PREFIX": self.prefix,
                "DJANGO_SETTINGS_MODULE": "settings_on_lab",
            },
        )
        servers = [server for lab in labs for server in lab]
        self.primaries = {s.alias["ENGINE"]: s for s in servers if s.role == "primary"}
        self.created: set[tuple[str, str]] = set()
        call_command("startproject", "config", str(directory), verbosity=0)
        (directory / "settings_on_lab.py").write_text(SETTINGS)

    def write(self, block: Block) -> None:
        super().write(block)
        if block.path == "config/settings.py":
            self._create_databases()

    def _create_databases(self) -> None:
        """Make the databases that the settings name by now, each once."""
        done = self._run([sys.executable, "-c", NAMES], "")
        for engine, name in json.loads(done.stdout):
            if name.startswith(self.prefix) and (engine, name) not in self.created:
                self.created.add((engine, name))
                self.primaries[engine].sql(f"CREATE DATABASE {name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_page(name: str, lab: Lab, tmp_path: Path) -> None:
    Reader(name, tmp_path, lab).go()


@pytest.mark.slow
@pytest.mark.mariadb
def test_page_with_mariadb(lab: Lab, mariadb: Lab, tmp_path: Path) -> None:
    Reader("postgresql-replica-and-mariadb", tmp_path, lab, mariadb).go()


def test_every_page_is_walked_or_needs_no_project() -> None:
    walked = {*ON_POSTGRESQL, "postgresql-replica-and-mariadb"}
    pages = {page.stem for page in (DOCS / "how-to").glob("*.md")}
    # The last one looks at a site that runs: nothing in it ends by itself.
    assert pages - walked == {"deploy", "use-the-lab", "watch-replicas"}
