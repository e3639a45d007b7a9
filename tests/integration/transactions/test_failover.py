"""`recover` while an address still leads to a replica, or leads to one already."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import Lab, MariaDB, Postgres
from tests.integration.transactions.apart import Site
from tests.integration.transactions.asking import ask, decided, prepared

SERVERS = {"postgresql": Postgres, "mariadb": MariaDB}
ALIASES = ("left", "right")


@pytest.fixture(
    scope="module",
    params=[
        "postgresql",
        pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.crash]),
    ],
)
def lab(request: Any) -> Iterator[Lab]:
    server = SERVERS[request.param]
    with Lab(*(server(one, replicas=(f"{one}_replica",)) for one in ALIASES)) as lab:
        yield lab


@pytest.fixture
def replicated(lab: Lab, django_db_blocker: Any) -> Iterator[Site]:
    databases = {alias: lab.databases[alias] for alias in ALIASES}
    servers = {alias: lab[alias] for alias in ALIASES}
    with django_db_blocker.unblock(), Site(databases, servers).opened() as site:
        yield site


def recovered(site: Site, **databases: Any) -> tuple[int, dict[str, Any]]:
    process = site.popen("-m", "django", "shoal", "recover", "--json", **databases)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in err, err
    return process.returncode, json.loads(out)


@pytest.mark.parametrize("is_decided", [True, False])
@pytest.mark.parametrize("alias", ALIASES)
def test_takes_no_word_of_a_replica(
    lab: Lab, replicated: Site, alias: str, is_decided: bool
) -> None:
    replicated.leave_in_doubt(is_decided=is_decided)
    replica = lab[f"{alias}_replica"]
    replica.wait_until_replayed()
    status, found = recovered(replicated, **{alias: replica.alias})
    assert status == 1
    assert list(found["unreachable"]) == [alias]
    assert "takes no writes" in found["unreachable"][alias]
    assert len(prepared("right")) == 1
    assert len(decided("left")) == is_decided
    status, found = recovered(replicated)
    assert (status, found["ok"]) == (0, True)
    assert prepared(*ALIASES) == decided(*ALIASES) == []
    rows = ask("right", "SELECT count(*) FROM note")
    assert rows == [(int(is_decided),)]
