"""Several primaries with replicas in one project; each is read by its own position."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from shoal.lab import Lab, LabServer
from tests.acceptance.conftest import Make
from tests.acceptance.projects import Place, Project

pytestmark = pytest.mark.mariadb

CLUSTERS = ("catalog", "orders", "metrics")
TABLES = {
    "catalog": "catalog_product",
    "orders": "orders_order",
    "metrics": "metrics_event",
}
REPLICAS = {name: f"{name.upper()}_REPLICA_DB" for name in CLUSTERS}


@pytest.fixture(scope="module")
def migrated(make: Make, lab: Lab, mariadb: Lab) -> Project:
    sets = {
        "CATALOG": (lab["north"], lab["north_replica"]),
        "ORDERS": (lab["east"], lab["east_replica"]),
        "METRICS": (mariadb["analytics"], mariadb["analytics_replica"]),
    }
    places: dict[str, Place] = {}
    for name, (primary, replica) in sets.items():
        place = Place.new(primary, f"recipe_7_{name.lower()}")
        places |= {f"{name}_DB": place, f"{name}_REPLICA_DB": place.on(replica)}
    project = make("recipe_7_several_sets", **places)
    project.manage("shoal", "migrate")
    return project


@pytest.fixture
def project(migrated: Project) -> Project:
    """Each cluster has one row, named "Old", on both of its servers."""
    for name, table in TABLES.items():
        place = migrated[f"{name.upper()}_DB"]
        place.ask(f"DELETE FROM {table}; INSERT INTO {table} (name) VALUES ('Old')")
        replica(migrated, name).wait_until_replayed()
    return migrated


def replica(project: Project, cluster: str) -> LabServer:
    return project[REPLICAS[cluster]].server


@contextmanager
def far_behind(project: Project, *clusters: str) -> Iterator[None]:
    with ExitStack() as stack:
        for name in clusters:
            stack.enter_context(replica(project, name).replay_paused())
        yield


def write_and_look(site: Any, *clusters: str) -> Any:
    """Write on these clusters; tell how that page and the next one are read."""
    written = site.client.post("/", {"write": clusters, "name": "New"})
    return written.json(), site.client.get("/").json(), written.headers["Shoal-Token"]


def look(site: Any, token: str) -> Any:
    headers = {"Shoal-Token": token} if token else {}
    return site.client.get("/", headers=headers).json()


def look_until_seen(site: Any, token: str, *clusters: str) -> Any:
    """Look until the replicas of these clusters are known to have caught up."""
    import time

    until = time.monotonic() + 60
    while True:
        page = site.client.get("/", headers={"Shoal-Token": token}).json()
        seen = all(page[name][1] == "caught up" for name in clusters)
        if seen or time.monotonic() > until:
            return page


def by_replica(name: str, reason: str = "any replica", *rows: str) -> list[Any]:
    return [f"{name}_replica", reason, ["Old", *rows]]


def by_primary(name: str, reason: str) -> list[Any]:
    return [name, reason, ["Old", "New"]]


@pytest.mark.parametrize("written", ["orders", "metrics"])
def test_a_write_takes_no_other_cluster_off_its_replica(
    project: Project, written: str
) -> None:
    with far_behind(project, *CLUSTERS):
        page, next_page, _ = project.run(write_and_look, written)
    for name in CLUSTERS:
        if name == written:
            assert page[name] == by_primary(name, "own write")
            assert next_page[name] == by_primary(name, "not caught up")
        else:
            assert page[name] == next_page[name] == by_replica(name)


def test_one_token_holds_the_writes_of_all_clusters(project: Project) -> None:
    with far_behind(project, *CLUSTERS):
        *_, token = project.run(write_and_look, "catalog", "metrics")
        found = project.run(look, token)
        others = project.run(look, "")
    assert found == {
        "catalog": by_primary("catalog", "not caught up"),
        "orders": by_replica("orders"),
        "metrics": by_primary("metrics", "not caught up"),
    }
    assert others == {name: by_replica(name) for name in CLUSTERS}


def write_one_by_one(site: Any) -> Any:
    for cluster in ("catalog", "orders", "metrics"):
        page = site.client.post("/", {"write": cluster, "name": "New"})
    return page.headers["Shoal-Token"]


@pytest.mark.parametrize("behind", ["orders", "metrics"])
def test_only_the_cluster_that_is_behind_is_read_from_its_primary(
    project: Project, behind: str
) -> None:
    with far_behind(project, behind):
        token = project.run(write_one_by_one)
        others = set(CLUSTERS) - {behind}
        for name in others:
            replica(project, name).wait_until_replayed()
        found = project.run(look_until_seen, token, *others)
    for name in CLUSTERS:
        if name == behind:
            assert found[name] == by_primary(name, "not caught up")
        else:
            assert found[name] == by_replica(name, "caught up", "New")


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout
