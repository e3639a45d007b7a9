"""The commands on a project of PostgreSQL and MariaDB."""

from collections.abc import Iterator

import pytest

from shoal.lab import Lab, MariaDB, mariadb_available
from tests.integration.cli.conftest import Done, Project, servers_of, states_of

pytestmark = pytest.mark.mariadb


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Lab]:
    assert mariadb_available(), "mariadbd is missing: deselect with -m 'not mariadb'."
    with Lab(MariaDB("press", replicas=("press_r1",))) as servers:
        yield servers


@pytest.fixture
def mixed(project: Project, mariadb: Lab) -> Project:
    """The cluster `press` on MariaDB, the others on PostgreSQL."""
    del project.databases["press_draft"]
    project.databases |= mariadb.databases
    project.shoal["CLUSTERS"]["press"] = {"APPS": ["press"], "REPLICAS": ["press_r1"]}
    tables = mariadb["press"].sql("SHOW TABLES")
    for (table,) in tables:
        mariadb["press"].sql(f"SET foreign_key_checks = 0; DROP TABLE {table}")
    return project


def test_migrates_both(mixed: Project, mariadb: Lab) -> None:
    failed = mixed.shoal_command("migrate", code=1, FAIL_ON="press")
    assert "First look at the tables on 'press'" in failed.stderr
    assert "missing_function" in failed.stderr
    # What MariaDB did before the failure stays done, as the hint says.
    mariadb["press"].sql("ALTER TABLE press_issue DROP COLUMN number")
    mixed.shoal_command("migrate")
    assert mariadb["press"].sql("SELECT book_id FROM press_issue") == [(1,), (2,)]
    mariadb["press_r1"].wait_until_replayed()
    done = mixed.shoal_command("status", "--json").data
    primary, replica = done["clusters"][2]["editions"][0]["servers"]
    assert (primary["vendor"], primary["server"]) == ("mysql", "press")
    assert replica["is_replica"] is True
    assert replica["lag_seconds"] == 0.0
    assert "nothing wrong" in mixed.shoal_command("check").stdout


def are_known(top: Done, *others: Done) -> bool:
    """Say whether `top` has come to know both servers in its short time."""
    servers = servers_of(top.data)
    return (
        servers["press_r1"]["lag_transactions"] is not None
        and servers["press"]["rows_per_second"] is not None
    )


def are_up(top: Done) -> bool:
    return states_of(top)["press"] == states_of(top)["press_r1"] == "up"


def test_shows_what_a_replica_has_yet_to_replay(mixed: Project, mariadb: Lab) -> None:
    look = ["top", "--json", "--every", "0.3"]
    mariadb["press_r1"].wait_until_replayed()
    with mariadb["press_r1"].replay_paused():
        mariadb["press"].sql("CREATE TABLE one (id int); CREATE TABLE two (id int)")
        top, status, text = mixed.each_until(
            are_known, look, ["status", "--json"], ["status"]
        )
    for found in (servers_of(top.data), servers_of(status.data)):
        assert found["press_r1"]["lag_transactions"] == 2
        assert found["press_r1"]["lag_bytes"] is None
        assert found["press"]["lag_transactions"] is None
    assert servers_of(top.data)["press"]["rows_per_second"] is not None
    assert servers_of(top.data)["press_r1"]["server"] == "press_r1"
    assert "2 transactions" in text.stdout
    mariadb["press_r1"].wait_until_replayed()
    (again,) = mixed.each_until(are_up, look)
    replica = servers_of(again.data)["press_r1"]
    assert (replica["state"], replica["lag_transactions"]) == ("up", 0)
    assert replica["lag_seconds"] == 0.0


SCRAPE = """
import django, time
django.setup()
from prometheus_client import CollectorRegistry
from shoal.contrib.prometheus import Collector
from shoal.routing.health import stop_watching

registry = CollectorRegistry()
registry.register(Collector())
until = time.monotonic() + 30

def seen(unit, cluster):
    name, labels = f"shoal_replica_lag_{unit}", {"cluster": cluster}
    return registry.get_sample_value(name, labels | {"alias": f"{cluster}_r1"})

while not seen("transactions", "press") or seen("bytes", "library") is None:
    assert time.monotonic() < until
    time.sleep(0.02)
assert seen("bytes", "press") is seen("transactions", "library") is None
print(seen("transactions", "press"))
stop_watching()
"""


def test_prometheus_is_told_in_transactions(mixed: Project, mariadb: Lab) -> None:
    mariadb["press_r1"].wait_until_replayed()
    with mariadb["press_r1"].replay_paused():
        mariadb["press"].sql("CREATE TABLE three (id int)")
        assert mixed.end(mixed.python(SCRAPE)).stdout.strip() == "1"


def test_waits_for_another_run(mixed: Project) -> None:
    import MySQLdb

    entry = mixed.databases["press"]
    other = MySQLdb.connect(
        host=entry["HOST"],
        port=int(entry["PORT"]),
        user=entry["USER"],
        password=entry["PASSWORD"],
        database=entry["NAME"],
    )
    with other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(SHA1(CONCAT('shoal migrate ', DATABASE())), 0)")
        assert cursor.fetchone() == (1,)
    done = mixed.shoal_command("migrate", "--lock-timeout", "0.3", code=1)
    assert "Another `shoal migrate` is at work on 'press'" in done.stderr
    other.close()
    mixed.shoal_command("migrate", "--plan")
