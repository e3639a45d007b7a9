"""A MariaDB primary whose replica follows by GTID; visitors read what they wrote."""

from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import Lab, LabServer
from tests.acceptance.projects import Place, Project

pytestmark = pytest.mark.mariadb

NAMES = "SELECT name FROM stock_item ORDER BY id"


@pytest.fixture(scope="module")
def migrated(mariadb: Lab, tmp_path_factory: pytest.TempPathFactory) -> Project:
    stock = Place.new(mariadb["analytics"], "recipe_6_stock")
    project = Project(
        "recipe_6_mariadb_with_replica",
        tmp_path_factory.mktemp("recipe_6"),
        {"STOCK_DB": stock, "STOCK_REPLICA_DB": stock.on(mariadb["analytics_replica"])},
    )
    project.manage("shoal", "migrate")
    return project


@pytest.fixture
def project(migrated: Project) -> Project:
    """One item, "Desk", is in stock, on both servers."""
    migrated["STOCK_DB"].ask(
        "DELETE FROM stock_item; "
        "INSERT INTO stock_item (name, count) VALUES ('Desk', 1)"
    )
    replica(migrated).wait_until_replayed()
    return migrated


@pytest.fixture
def stopped(project: Project) -> Iterator[None]:
    """The replica has stopped to replay (`STOP SLAVE SQL_THREAD`)."""
    with replica(project).replay_paused():
        yield


def replica(project: Project) -> LabServer:
    return project["STOCK_REPLICA_DB"].server


def test_the_replica_follows_by_gtid(project: Project) -> None:
    [status] = project["STOCK_REPLICA_DB"].ask("SHOW SLAVE STATUS")
    assert "Slave_Pos" in status
    assert replica(project).position() == project["STOCK_DB"].server.position()


def add(site: Any, name: str) -> Any:
    posted = site.client.post("/items/", {"name": name})
    page = site.client.get(posted.url)
    return {**page.json(), "token": posted.headers["Shoal-Token"]}


def look(site: Any, token: str) -> Any:
    headers = {"Shoal-Token": token} if token else {}
    return [site.client.get("/items/", headers=headers).json() for _ in range(5)]


def look_until_seen(site: Any, token: str) -> Any:
    """Look until the replica is known to have caught up."""
    import time

    until = time.monotonic() + 60
    while True:
        page = site.client.get("/items/", headers={"Shoal-Token": token}).json()
        if page["from"][1] == "caught up" or time.monotonic() > until:
            return page


def test_own_writes_are_seen_at_once_and_others_read_the_replica(
    project: Project, stopped: None
) -> None:
    page = project.run(add, "Lamp")
    token = page.pop("token")
    assert page == {"items": ["Desk", "Lamp"], "from": ["default", "not caught up"]}
    assert project["STOCK_DB"].column(NAMES) == ["Desk", "Lamp"]
    assert project["STOCK_REPLICA_DB"].column(NAMES) == ["Desk"]
    assert project.run(look, token) == [page] * 5
    others = {"items": ["Desk"], "from": ["replica", "any replica"]}
    assert project.run(look, "") == [others] * 5


def test_a_replica_that_has_caught_up_serves_again(project: Project) -> None:
    token = project.run(add, "Lamp")["token"]
    replica(project).wait_until_replayed()
    page = {"items": ["Desk", "Lamp"], "from": ["replica", "caught up"]}
    assert project.run(look_until_seen, token) == page


def write_in_many_ways(site: Any) -> Any:
    from django.db import connection, transaction

    from shoal.routing import export_token, unit_of_work, with_token
    from shoal.testing import served_by

    Item = site.Item

    def sql(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def roll_back() -> None:
        with transaction.atomic():
            Item.objects.create(name="Never")
            transaction.set_rollback(True)

    found = {}
    for way, write in {
        "bulk": lambda: Item.objects.bulk_create([Item(name="A"), Item(name="B")]),
        "update": lambda: Item.objects.filter(name="Desk").update(count=2),
        "upsert": lambda: sql(
            "INSERT INTO stock_item (name, count) VALUES ('Desk', 1) "
            "ON DUPLICATE KEY UPDATE count = 3"
        ),
        "replace": lambda: sql("REPLACE INTO stock_item (name, count) VALUES ('C', 1)"),
        "delete": lambda: Item.objects.filter(name="Desk").delete(),
        "rollback": roll_back,
    }.items():
        with unit_of_work():
            write()
            token = export_token()
        with with_token(token):
            found[way] = [
                served_by(Item),
                sorted(Item.objects.values_list("name", "count")),
            ]
    return found


def test_however_it_was_written(project: Project, stopped: None) -> None:
    rows = [["A", 1], ["B", 1], ["C", 1]]
    assert project.run(write_in_many_ways) == {
        "bulk": ["analytics", [*rows[:2], ["Desk", 1]]],
        "update": ["analytics", [*rows[:2], ["Desk", 2]]],
        "upsert": ["analytics", [*rows[:2], ["Desk", 3]]],
        "replace": ["analytics", [*rows, ["Desk", 3]]],
        "delete": ["analytics", rows],
        "rollback": ["analytics_replica", [["Desk", 1]]],
    }


def test_status_tells_which_server_is_behind(project: Project, stopped: None) -> None:
    project["STOCK_DB"].ask("UPDATE stock_item SET count = count + 1")
    report = project.manage("shoal", "status", "--json").json()
    [cluster] = report["clusters"]
    primary, follower = cluster["editions"][0]["servers"]
    assert (primary["server"], follower["server"]) == ("analytics", "analytics_replica")
    assert follower["follows"] == primary["address"]
    assert primary["position"] != follower["position"]
    assert follower["lag_seconds"] is None, "it knows of nothing to replay"


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr
