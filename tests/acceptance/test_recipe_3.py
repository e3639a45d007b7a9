"""`main` on PostgreSQL with a replica, `analytics` on MariaDB."""

from typing import Any

import pytest

from shoal.lab import Lab
from tests.acceptance.conftest import Make
from tests.acceptance.projects import Place, Project

pytestmark = pytest.mark.mariadb

LIVES_ON_ANALYTICS = "the model metrics.Event lives on the cluster 'analytics'."
LIVES_ON_MAIN = "the model shop.Order lives on the cluster 'main'."
IS_A_REPLICA = "the alias 'main_replica' is a replica of 'main'."


@pytest.fixture(scope="module")
def project(make: Make, lab: Lab, mariadb: Lab) -> Project:
    main = Place.new(lab["north"], "recipe_3_main")
    project = make(
        "recipe_3_replica_and_mariadb",
        MAIN_DB=main,
        MAIN_REPLICA_DB=main.on(lab["north_replica"]),
        ANALYTICS_DB=Place.new(mariadb["analytics"], "recipe_3_analytics"),
    )
    project.manage("shoal", "migrate")
    project["MAIN_DB"].ask("INSERT INTO shop_order (item, price) VALUES ('Desk', 100)")
    lab["north_replica"].wait_until_replayed()
    return project


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_each_app_is_on_its_own_kind_of_server(project: Project) -> None:
    on_main = project["MAIN_DB"].tables()
    assert {"shop_order", "auth_user", "django_session"} <= on_main
    assert "metrics_event" not in on_main
    assert project["MAIN_REPLICA_DB"].tables() == on_main
    assert project["ANALYTICS_DB"].tables() == {"metrics_event"}


def who_am_i(site: Any) -> Any:
    from django.db import connections

    found = []
    for alias in ("main", "main_replica", "analytics"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_user")
            found.append(cursor.fetchone()[0])
    return [*found, site.Order.objects.exists(), site.Event.objects.exists()]


def test_credentials_come_from_the_environment(project: Project, lab: Lab) -> None:
    main, analytics = project["MAIN_DB"], project["ANALYTICS_DB"]
    main.ask("DROP ROLE IF EXISTS shop_app")
    main.ask("CREATE ROLE shop_app LOGIN PASSWORD 'one' IN ROLE pg_read_all_data")
    analytics.ask(
        "CREATE OR REPLACE USER metrics_app@'%' IDENTIFIED BY 'two'; "
        "INSERT INTO metrics_event (name, at) VALUES ('granted', now()); "
        f"GRANT SELECT ON {analytics.database}.* TO metrics_app@'%'"
    )
    lab["north_replica"].wait_until_replayed()
    found = project.run(
        who_am_i,
        MAIN_DB_USER="shop_app",
        MAIN_DB_PASSWORD="one",
        MAIN_REPLICA_DB_USER="shop_app",
        MAIN_REPLICA_DB_PASSWORD="one",
        ANALYTICS_DB_USER="metrics_app",
        ANALYTICS_DB_PASSWORD="two",
    )
    assert found == ["shop_app", "shop_app", "metrics_app@%", True, True]


def place_order(site: Any, item: str) -> Any:
    page = site.client.post("/orders/", {"item": item})
    return page.json()["items"]


def read_orders(site: Any) -> Any:
    from shoal.routing import pinned
    from shoal.testing import served_by

    items = site.client.get("/orders/").json()["items"]
    with pinned("main"):
        at_primary = [order.item for order in site.Order.objects.order_by("pk")]
    using = [order.item for order in site.Order.objects.using("main").order_by("pk")]
    return {
        "page": items,
        "pinned": at_primary,
        "using": using,
        "served_by": [served_by(site.Order), served_by("main_replica")],
    }


def test_reads_come_from_the_replica_and_own_writes_from_the_primary(
    project: Project, lab: Lab
) -> None:
    replica = lab["north_replica"]
    # The older what it replayed last, the sooner is it left out for its lag.
    project["MAIN_DB"].ask("UPDATE shop_order SET price = price")
    replica.wait_until_replayed()
    with replica.replay_paused():
        assert project.run(place_order, "Lamp") == ["Desk", "Lamp"]
        found = project.run(read_orders)
    assert found == {
        "page": ["Desk"],  # only the paused replica can still say so
        "pinned": ["Desk", "Lamp"],
        "using": ["Desk", "Lamp"],
        "served_by": ["north_replica", "north_replica"],
    }
    replica.wait_until_replayed()
    assert project.run(read_orders)["page"] == ["Desk", "Lamp"]
    counted = "SELECT name FROM metrics_event WHERE name = 'ordered'"
    assert project["ANALYTICS_DB"].column(counted) == ["ordered"]


def write_on_the_wrong_cluster(site: Any) -> Any:
    from django.db import connections

    def raw(sql: str) -> None:
        with connections["main"].cursor() as cursor:
            cursor.execute(sql)

    Event = site.Event
    wrong = Event.objects.using("main")
    return [
        site.error(act)
        for act in (
            lambda: Event(name="lost").save(using="main"),
            lambda: wrong.create(name="lost"),
            lambda: wrong.bulk_create([Event(name="lost")]),
            lambda: wrong.update(name="lost"),
            lambda: wrong.filter(name="ordered").delete(),
            lambda: raw("INSERT INTO metrics_event (name) VALUES ('lost')"),
            lambda: raw("WITH x AS (SELECT 1) DELETE FROM metrics_event"),
        )
    ]


def test_a_write_on_the_wrong_cluster_is_refused(project: Project) -> None:
    errors = project.run(write_on_the_wrong_cluster)
    for error in errors:
        assert error.startswith("WrongCluster: A write on table 'metrics_event' was")
        assert f"refused on the alias 'main': {LIVES_ON_ANALYTICS}" in error
        assert "using('analytics')" in error


def write_on_mariadb(site: Any) -> Any:
    from django.db import connections

    Order = site.Order
    wrong = Order.objects.using("analytics")
    with connections["analytics"].cursor() as cursor:
        insert = "INSERT INTO `shop_order` (`item`, `price`) VALUES (%s, 1)"
        return [
            site.error(lambda: Order(item="lost", price=1).save(using="analytics")),
            site.error(lambda: wrong.bulk_create([Order(item="lost", price=1)])),
            site.error(lambda: wrong.update(item="lost")),
            site.error(lambda: wrong.all().delete()),
            site.error(lambda: cursor.execute(insert, ["lost"])),
        ]


def test_a_write_on_the_wrong_vendor_is_refused_as_well(project: Project) -> None:
    for error in project.run(write_on_mariadb):
        assert error.startswith("WrongCluster: A write on table 'shop_order' was")
        assert f"refused on the alias 'analytics': {LIVES_ON_MAIN}" in error
        assert "using('main')" in error


def write_on_the_replica(site: Any) -> Any:
    from django.db import connections

    Order = site.Order
    replica = Order.objects.using("main_replica")
    with connections["main_replica"].cursor() as cursor:
        errors = [
            site.error(lambda: Order(item="lost", price=1).save(using="main_replica")),
            site.error(lambda: replica.bulk_create([Order(item="lost", price=1)])),
            site.error(lambda: replica.update(item="lost")),
            site.error(lambda: replica.filter(item="Desk").delete()),
            site.error(lambda: cursor.execute("DELETE FROM shop_order")),
        ]
    # What was read from the replica is saved where writes go.
    desk = Order.objects.get(item="Desk")
    read_from = desk._state.db
    desk.price = 120
    desk.save()
    return {"errors": errors, "read_from": read_from, "saved_to": desk._state.db}


def test_a_write_on_the_replica_is_refused(project: Project) -> None:
    found = project.run(write_on_the_replica)
    for error in found["errors"]:
        assert error.startswith("ReplicaWrite: A write on table 'shop_order' was")
        assert IS_A_REPLICA in error
        assert "using('main')" in error
    assert (found["read_from"], found["saved_to"]) == ("main_replica", "main")
    price = "SELECT price::int FROM shop_order WHERE item = 'Desk'"
    assert project["MAIN_DB"].column(price) == [120]
    lost = "SELECT count(*) FROM shop_order WHERE item = 'lost'"
    assert project["MAIN_DB"].column(lost) == [0]


def edit_in_the_admin(site: Any) -> Any:
    site.client.force_login(site.User.objects.create_superuser("root"))
    saved = site.post("/admin/metrics/event/add/", name="From the admin", order_id=7)
    page = site.client.get("/admin/metrics/event/")
    return [saved, page.status_code, "From the admin" in page.text]


def test_the_admin_edits_what_is_on_mariadb(project: Project) -> None:
    assert project.run(edit_in_the_admin) == [302, 200, True]
    names = "SELECT order_id FROM metrics_event WHERE name = 'From the admin'"
    assert project["ANALYTICS_DB"].column(names) == [7]
    log = "SELECT object_repr FROM django_admin_log"
    assert project["MAIN_DB"].column(log) == ["From the admin"]


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr
