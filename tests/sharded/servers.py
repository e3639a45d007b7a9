"""Fixtures: the databases of the shop, on each kind of server."""

from typing import Any

import pytest

from shoal.lab import MariaDB, Postgres, lab_fixture
from tests.sharded.shop import SINGLE, Databases

FAST = {
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_prepared_transactions": "20",
}
"""Nothing of this server has to survive a crash."""
VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite"),
    "mariadb": pytest.param("mariadb", marks=pytest.mark.mariadb),
}

postgres_shop = lab_fixture(Postgres("shop", settings=FAST), scope="session")
mariadb_shop = lab_fixture(MariaDB("shop"), scope="session")


def only(*names: str, scope: str = "module") -> Any:
    """Mark a test to run on some kinds of server."""
    some = [VENDORS[name] for name in names]
    return pytest.mark.parametrize("kind", some, indirect=True, scope=scope)


def databases_on(request: Any, vendor: str, ids: str) -> Databases:
    """Return the databases for the aliases of the shop, made when first asked for."""
    made = request.getfixturevalue("made_databases")
    if (vendor, ids) not in made:
        made[vendor, ids] = _make(request, vendor, ids)
    return made[vendor, ids]


@pytest.fixture(scope="session")
def made_databases() -> dict[Any, Databases]:
    return {}


def _make(request: Any, vendor: str, ids: str) -> Databases:
    names = {alias: f"{ids}_{alias}" for alias in SINGLE}
    if vendor == "sqlite":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("shop")
        return {
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / f"{name}.db"),
                "OPTIONS": {"timeout": 30},
            }
            for alias, name in names.items()
        }
    kind = {"postgresql": "postgres", "mariadb": "mariadb"}[vendor]
    lab = request.getfixturevalue(f"{kind}_shop")
    for name in names.values():
        lab["shop"].sql(f"CREATE DATABASE {name}")
    return {alias: {**lab["shop"].alias, "NAME": name} for alias, name in names.items()}
