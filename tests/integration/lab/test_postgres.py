"""PostgreSQL's servers are up, follow, pause, stop, start and are promoted."""

import contextlib
import re
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from shoal.lab import Lab, LabError, LabServer, Postgres
from tests.waiting import until

Row = tuple[object, ...]


def connect(lab: Lab, alias: str, password: str = "") -> psycopg.Connection[Row]:
    entry = lab.databases[alias]
    return psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        dbname=entry["NAME"],
        user=entry["USER"],
        password=password or entry["PASSWORD"],
    )


def test_databases_lead_to_the_servers_that_they_name(postgres: Lab) -> None:
    for alias, entry in postgres.databases.items():
        assert entry["ENGINE"] == "django.db.backends.postgresql"
        assert entry["HOST"] == "127.0.0.1"
        assert entry["PORT"] == str(postgres[alias].port)
        with connect(postgres, alias) as connection:
            name = connection.execute("SHOW cluster_name").fetchone()
        assert name == (alias,)


def test_a_replica_has_the_database_of_its_primary(postgres: Lab) -> None:
    names = {alias: entry["NAME"] for alias, entry in postgres.databases.items()}
    assert names == {
        "films": "films",
        "films_r1": "films",
        "films_r2": "films",
        "people": "people",
    }


def test_the_password_is_needed_at_the_port(postgres: Lab) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        connect(postgres, "films", password="wrong")


def test_servers_tell_about_themselves(postgres: Lab, pg_bin: Path | None) -> None:
    told = [(s.name, s.role, s.primary, s.vendor, s.running) for s in postgres]
    assert told == [
        ("films", "primary", None, "postgresql", True),
        ("films_r1", "replica", "films", "postgresql", True),
        ("films_r2", "replica", "films", "postgresql", True),
        ("people", "primary", None, "postgresql", True),
    ]
    assert {s.version.partition(".")[0] for s in postgres} == {"15" if pg_bin else "18"}
    for server in postgres:
        assert server.sql("SHOW data_directory") == [(str(server.data_directory),)]
        first_line = (server.data_directory / "postmaster.pid").read_text().split()[0]
        assert int(first_line) == server.pid
        assert server.log_path.exists()


def test_every_cluster_has_a_system_identifier_of_its_own(postgres: Lab) -> None:
    sql = "SELECT system_identifier FROM pg_control_system()"
    films, r1, r2, people = (server.sql(sql) for server in postgres)
    assert films == r1 == r2
    assert films != people


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("wal_level", "logical"),
        ("hot_standby_feedback", "on"),
        ("fsync", "off"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
    ],
)
def test_servers_are_set_up_for_replication(
    postgres: Lab, setting: str, value: str
) -> None:
    for server in postgres:
        assert server.sql(f"SHOW {setting}") == [(value,)]


def test_two_phase_commit_works(postgres: Lab) -> None:
    postgres["people"].sql(
        "BEGIN; CREATE TABLE in_two_phases (); PREPARE TRANSACTION 'one'"
    )
    postgres["people"].sql("COMMIT PREPARED 'one'")
    assert postgres["people"].sql("SELECT count(*) FROM in_two_phases") == [(0,)]


def test_settings_reach_the_server_whatever_they_hold(postgres: Lab) -> None:
    assert postgres["people"].sql("SHOW work_mem") == [("8MB",)]
    assert postgres["people"].sql("SHOW log_line_prefix") == [("it's \\ ",)]
    assert postgres["films"].sql("SHOW work_mem") == [("4MB",)]


def test_each_replica_has_a_slot_of_its_name(postgres: Lab) -> None:
    slots = "SELECT slot_name, active FROM pg_replication_slots ORDER BY 1"
    both = [("films_r1", True), ("films_r2", True)]
    # Another test may have had the primary down a moment ago.
    until(lambda: postgres["films"].sql(slots) == both)


def test_sql_gives_values(postgres: Lab) -> None:
    ((*values,),) = postgres["people"].sql(
        "SELECT 1, true, NULL, 1.50::numeric, 2.5::float8, 'ä', "
        "'\\x00ff'::bytea, 2::oid"
    )
    assert values == [1, True, None, Decimal("1.50"), 2.5, "ä", b"\x00\xff", 2]


def test_sql_runs_several_statements_and_gives_the_last_rows(postgres: Lab) -> None:
    people = postgres["people"]
    assert people.sql("CREATE TEMP TABLE t (a int)") == []
    assert people.sql("SELECT 1; SELECT 2, 3; CREATE TEMP TABLE t (a int)") == [(2, 3)]


def test_sql_that_the_server_refuses_is_an_error(postgres: Lab) -> None:
    with pytest.raises(LabError) as caught:
        postgres["people"].sql("SELECT nonsense")
    assert str(caught.value) == (
        "Server 'people' refused: column \"nonsense\" does not exist (42703).\n"
        "Hint: It was asked: SELECT nonsense"
    )


def test_text_of_other_languages_has_upper_and_lower_case(postgres: Lab) -> None:
    assert postgres["people"].sql("SELECT upper('éß'), 'É' ILIKE 'é'")[0][1] is True


def test_a_paused_replica_grows_stale_and_catches_up(postgres: Lab) -> None:
    films, replica = postgres["films"], postgres["films_r1"]
    films.sql("CREATE TABLE IF NOT EXISTS lag (a int); TRUNCATE lag")
    replica.wait_until_replayed()
    with replica.replay_paused():
        films.sql("INSERT INTO lag VALUES (1)")
        postgres["films_r2"].wait_until_replayed()
        assert postgres["films_r2"].sql("SELECT a FROM lag") == [(1,)]
        assert replica.sql("SELECT a FROM lag") == []
        with pytest.raises(LabError, match=r"has not replayed .* within 0\.1 s"):
            replica.wait_until_replayed(timeout=0.1)
    replica.wait_until_replayed()
    assert replica.sql("SELECT a FROM lag") == [(1,)]


def test_waiting_sees_commits_that_are_not_flushed_yet(postgres: Lab) -> None:
    films, replica = postgres["films"], postgres["films_r1"]
    films.sql("CREATE TABLE IF NOT EXISTS unflushed (a int); TRUNCATE unflushed")
    for number in range(4):
        films.sql(
            f"SET synchronous_commit = off; INSERT INTO unflushed VALUES ({number})"
        )
        replica.wait_until_replayed()
        assert replica.sql("SELECT max(a) FROM unflushed") == [(number,)]


def test_an_idle_replica_reaches_the_start_of_a_new_segment(postgres: Lab) -> None:
    films, replica = postgres["films"], postgres["films_r1"]
    films.sql("SELECT pg_switch_wal()")
    replica.wait_until_replayed()


@pytest.mark.parametrize(
    "what", ["pause_replay", "resume_replay", "promote", "wait_until_replayed"]
)
def test_what_replicas_do_is_an_error_on_a_primary(postgres: Lab, what: str) -> None:
    with pytest.raises(LabError) as caught:
        getattr(postgres["films"], what)()
    assert str(caught.value) == (
        f"{what}() is for replicas, and 'films' is a primary.\n"
        "Hint: Replicas of a cluster: films_r1, films_r2."
    )


@pytest.mark.parametrize("clean", [True, False])
def test_a_stopped_server_starts_where_it_was(postgres: Lab, clean: bool) -> None:
    people = postgres["people"]
    port = people.port
    people.sql("CREATE TABLE IF NOT EXISTS kept (a int)")
    people.sql("INSERT INTO kept VALUES (1)")
    (rows,) = people.sql("SELECT count(*) FROM kept")
    people.stop(clean=clean)
    assert not people.running
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(postgres, "people")
    with pytest.raises(LabError, match="Server 'people' is down and did not answer"):
        people.sql("SELECT 1")
    people.stop()
    people.start()
    assert people.running
    assert people.port == port
    assert people.sql("SELECT count(*) FROM kept") == [rows]
    people.start()
    log = people.log_path.read_text()
    assert ("received fast shutdown" if clean else "received immediate") in log


def test_replicas_follow_again_after_their_primary_was_down(postgres: Lab) -> None:
    films, replica = postgres["films"], postgres["films_r2"]
    films.stop()
    assert replica.sql("SELECT 1") == [(1,)]
    films.start()
    films.sql("CREATE TABLE IF NOT EXISTS after_crash (a int)")
    replica.stop()
    films.sql("TRUNCATE after_crash; INSERT INTO after_crash VALUES (7)")
    replica.start()
    replica.wait_until_replayed()
    assert replica.sql("SELECT a FROM after_crash") == [(7,)]


def promoted(lab: Lab) -> LabServer:
    replica = lab["books_r1"]
    replica.pause_replay()
    replica.promote()
    return replica


def test_a_promoted_replica_takes_writes_at_once(pg_bin: Path | None) -> None:
    with Lab(Postgres("books", replicas=("books_r1",)), pg_bin=pg_bin) as lab:
        replica = lab["books_r1"]
        with pytest.raises(LabError, match="read-only transaction"):
            replica.sql("CREATE TABLE written (a int)")
        promoted(lab).sql("CREATE TABLE written (a int)")
        assert (replica.role, replica.primary) == ("primary", None)
        replica.stop()
        replica.start()
        assert replica.sql("SELECT pg_is_in_recovery()") == [(False,)]


def test_an_unknown_server_is_an_error_that_names_the_nearest(postgres: Lab) -> None:
    with pytest.raises(LabError) as caught:
        postgres["film"]
    assert str(caught.value) == (
        "No server of the lab is named 'film'.\n"
        "Hint: Did you mean 'films'? "
        "Known: 'films', 'films_r1', 'films_r2', 'people'."
    )


def test_passwords_are_in_no_repr_log_or_command_line(postgres: Lab) -> None:
    password = postgres.databases["films"]["PASSWORD"]
    assert len(password) >= 20
    shown = [repr(postgres), *(repr(server) for server in postgres)]
    shown += [server.log_path.read_text() for server in postgres]
    shown += [
        path.read_text(errors="replace")
        for server in postgres
        for path in server.log_path.parent.glob("*.log")
    ]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # Processes of others end meanwhile.
        with contextlib.suppress(OSError):
            shown.append(path.read_text(errors="replace"))
    assert not any(password in text for text in shown)
    assert re.search(r"<Lab 'films', .*: up>", shown[0])
