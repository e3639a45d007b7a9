"""MariaDB's servers are up, follow, pause, stop, start and are promoted."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from shoal.lab import Lab, LabError, MariaDB

pytestmark = pytest.mark.mariadb


def connect(lab: Lab, alias: str, **options: str) -> Any:
    import MySQLdb

    entry = lab.databases[alias]
    return MySQLdb.connect(
        **{
            "host": entry["HOST"],
            "port": int(entry["PORT"]),
            "database": entry["NAME"],
            "user": entry["USER"],
            "password": entry["PASSWORD"],
            **options,
        }
    )


def test_databases_lead_to_the_servers_that_they_name(mariadb: Lab) -> None:
    assert [entry["NAME"] for entry in mariadb.databases.values()] == ["analytics"] * 2
    for alias, entry in mariadb.databases.items():
        assert entry["ENGINE"] == "django.db.backends.mysql"
        connection = connect(mariadb, alias)
        cursor = connection.cursor()
        cursor.execute("SELECT @@report_host")
        assert cursor.fetchall() == ((alias,),)
        connection.close()


@pytest.mark.parametrize("user", ["root", "", "shoal_admin"])
def test_nobody_gets_in_without_the_password(mariadb: Lab, user: str) -> None:
    import MySQLdb

    with pytest.raises(MySQLdb.OperationalError, match="Access denied"):
        connect(mariadb, "analytics", user=user, password="")


def test_servers_tell_about_themselves(mariadb: Lab) -> None:
    told = [(s.name, s.role, s.primary, s.vendor, s.running) for s in mariadb]
    assert told == [
        ("analytics", "primary", None, "mariadb", True),
        ("analytics_r1", "replica", "analytics", "mariadb", True),
    ]
    for server in mariadb:
        ((version, directory),) = server.sql("SELECT @@version, @@datadir")
        assert str(version).startswith(server.version)
        assert directory == f"{server.data_directory}/"


def test_sql_gives_values(mariadb: Lab) -> None:
    ((*values,),) = mariadb["analytics"].sql(
        "SELECT 1, NULL, 1.50, 2.5e0, 'ä', x'00ff', date '2026-01-02', repeat('x', 300)"
    )
    assert values[:4] == [1, None, Decimal("1.50"), 2.5]
    assert values[4:] == ["ä", b"\x00\xff", date(2026, 1, 2), "x" * 300]


def test_sql_runs_several_statements_and_gives_the_last_rows(mariadb: Lab) -> None:
    assert mariadb["analytics"].sql("SELECT 1; SELECT 2, 3; DO 1") == [(2, 3)]


def test_sql_that_the_server_refuses_is_an_error(mariadb: Lab) -> None:
    with pytest.raises(LabError) as caught:
        mariadb["analytics"].sql("SELECT nonsense")
    assert str(caught.value) == (
        "Server 'analytics' refused: Unknown column 'nonsense' in 'SELECT' (1054).\n"
        "Hint: It was asked: SELECT nonsense"
    )


def test_the_server_is_strict_and_logs_rows(mariadb: Lab) -> None:
    analytics = mariadb["analytics"]
    assert analytics.sql("SELECT @@binlog_format, @@gtid_strict_mode") == [("ROW", 1)]
    assert analytics.sql("SELECT @@max_connections") == [(77,)]
    analytics.sql("CREATE TABLE IF NOT EXISTS short (a varchar(2))")
    with pytest.raises(LabError, match="Data too long"):
        analytics.sql("INSERT INTO short VALUES ('long')")


def test_a_paused_replica_grows_stale_and_catches_up(mariadb: Lab) -> None:
    primary, replica = mariadb["analytics"], mariadb["analytics_r1"]
    primary.sql("CREATE OR REPLACE TABLE lag (a int)")
    replica.wait_until_replayed()
    with replica.replay_paused():
        primary.sql("INSERT INTO lag VALUES (1)")
        assert replica.sql("SELECT a FROM lag") == []
        with pytest.raises(LabError, match=r"has not replayed .* within 0\.1 s"):
            replica.wait_until_replayed(timeout=0.1)
    replica.wait_until_replayed()
    assert replica.sql("SELECT a FROM lag") == [(1,)]


def test_a_replica_refuses_writes(mariadb: Lab) -> None:
    with pytest.raises(LabError, match="read-only"):
        mariadb["analytics_r1"].sql("CREATE TABLE written (a int)")


def test_what_replicas_do_is_an_error_on_a_primary(mariadb: Lab) -> None:
    with pytest.raises(LabError, match=r"pause_replay\(\) is for replicas"):
        mariadb["analytics"].pause_replay()


@pytest.mark.parametrize("clean", [True, False])
def test_stopped_servers_start_and_follow_again(mariadb: Lab, clean: bool) -> None:
    primary, replica = mariadb["analytics"], mariadb["analytics_r1"]
    primary.sql("CREATE OR REPLACE TABLE kept (a int); INSERT INTO kept VALUES (1)")
    ports = primary.port, replica.port
    primary.stop(clean=clean)
    assert not primary.running
    with pytest.raises(LabError, match="'analytics' is down and did not answer"):
        primary.sql("SELECT 1")
    primary.start()
    replica.stop(clean=clean)
    primary.sql("INSERT INTO kept VALUES (2)")
    replica.start()
    replica.wait_until_replayed()
    assert replica.sql("SELECT a FROM kept ORDER BY a") == [(1,), (2,)]
    assert (primary.port, replica.port) == ports


def test_a_promoted_replica_takes_writes_at_once(mariadb: Lab) -> None:
    with Lab(MariaDB("books", replicas=("books_r1",))) as lab:
        replica = lab["books_r1"]
        replica.promote()
        replica.sql("CREATE TABLE written (a int)")
        assert (replica.role, replica.primary) == ("primary", None)
        replica.stop()
        replica.start()
        replica.sql("INSERT INTO written VALUES (1)")


def test_passwords_are_in_no_repr_or_log(mariadb: Lab) -> None:
    password = mariadb.databases["analytics"]["PASSWORD"]
    shown = [repr(mariadb), *(repr(server) for server in mariadb)]
    shown += [
        path.read_text(errors="replace")
        for server in mariadb
        for path in server.log_path.parent.glob("*.log")
    ]
    assert len(shown) == 6
    assert not any(password in text for text in shown)


def test_a_password_in_a_refused_statement_is_masked(mariadb: Lab) -> None:
    password = mariadb.databases["analytics"]["PASSWORD"]
    with pytest.raises(LabError) as caught:
        mariadb["analytics"].sql(f"NONSENSE '{password}'")
    assert password not in str(caught.value)
    assert "Hint: It was asked: NONSENSE '***'" in str(caught.value)
