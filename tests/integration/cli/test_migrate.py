"""`manage.py shoal migrate` on real servers."""

import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.integration.cli.conftest import Project, connect
from tests.waiting import until

PRIMARIES = ("accounts", "library", "press", "press_draft")


def nothing_applied(project: Project) -> bool:
    return all(project.tables(alias) == set() for alias in PRIMARIES)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    until(lambda: process.poll() is not None or path.exists())
    assert path.exists(), process.communicate()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A migration of `library` waits for this file, if HOLD names it."""
    return tmp_path / "gate.open"


def test_each_table_is_where_it_belongs(project: Project) -> None:
    done = project.shoal_command("migrate")
    assert "Applied press.0001_initial on accounts, library, press" in done.stdout
    assert "7 migrations through on 4 databases" in done.stdout
    assert "Left out library_r1: a replica of 'library'." in done.stdout
    assert done.stderr == ""
    assert project.tables("library") == {"django_migrations", "library_book"}
    assert project.tables("press") == {"django_migrations", "press_issue"}
    assert project.tables("press_draft") == {"django_migrations", "press_issue"}
    assert project.tables("accounts") == {"django_migrations", "django_content_type"}
    # What a handler of post_migrate makes, where its table is.
    types = "SELECT count(*) FROM django_content_type WHERE model = 'issue'"
    assert project.ask("accounts", types) == [(1,)]


def test_a_migration_of_data_finds_other_clusters_and_stays_on_its_edition(
    project: Project,
) -> None:
    # Replay stands still: what is read has to be read on the primary.
    with project.servers["north_r1"].replay_paused():
        project.shoal_command("migrate", "--verbosity", "0")
    books = project.ask("library", "SELECT id FROM library_book ORDER BY id")
    assert len(books) == 2
    for edition in ("press", "press_draft"):
        issues = project.ask(edition, "SELECT book_id FROM press_issue ORDER BY 1")
        assert issues == books


def test_the_second_run_has_nothing_to_do(project: Project) -> None:
    runs = project.each(["migrate", "--json"], ["migrate", "--json"])
    first, second = (run.data for run in runs)
    assert first["ok"]
    assert second["ok"]
    assert first["databases"]["press"]["server"] == "east"
    assert len(first["databases"]["press"]["applied"]) == 7
    assert {alias: one["applied"] for alias, one in second["databases"].items()} == (
        {alias: [] for alias in PRIMARIES}
    )


def test_the_plan_says_what_runs_where_and_runs_nothing(project: Project) -> None:
    plan = project.shoal_command("migrate", "--plan", "--json").data["plan"]
    by_name = {entry["migration"]: entry for entry in plan}
    assert by_name["press.0001_initial"]["runs_on"] == ["press", "press_draft"]
    assert by_name["press.0001_initial"]["recorded_on"] == ["accounts", "library"]
    assert by_name["library.0002_two_books"]["runs_on"] == ["library"]
    names = list(by_name)
    assert names.index("library.0002_two_books") < names.index("press.0001_initial")
    assert nothing_applied(project)


def test_one_failure_undoes_that_migration_everywhere_and_is_gone_on_from(
    project: Project,
) -> None:
    done, again = project.each(
        ["migrate"], ["migrate", "--json"], FAIL_ON="press_draft"
    )
    assert (done.code, again.code) == (1, 1)
    assert "Failed press.0003_issue_number on press_draft" in done.stdout
    assert "Applied press.0002_issue_of_each_book on accounts, library" in done.stdout
    assert "Applied press.0003" not in done.stdout
    assert done.stderr.startswith(
        "Error: press.0003_issue_number failed on 'press_draft': function "
        "missing_function() does not exist"
    )
    assert "Hint: Mend the cause and run the same again" in done.stderr
    for alias in PRIMARIES:
        assert len(project.applied(alias, "press")) == 2

    report = again.data["databases"]
    assert not again.data["ok"]
    assert report["press_draft"]["failed"] == "press.0003_issue_number"
    assert report["press_draft"]["remaining"] == ["press.0003_issue_number"]
    assert "missing_function" in report["press_draft"]["error"]
    assert report["press"]["failed"] is None
    assert report["press"]["remaining"] == ["press.0003_issue_number"]

    last = project.shoal_command("migrate", "--json").data["databases"]
    assert last["press_draft"]["applied"] == ["press.0003_issue_number"]
    assert last["press"]["applied"] == ["press.0003_issue_number"]


def test_both_failures_are_reported(project: Project) -> None:
    done = project.shoal_command("migrate", code=1, FAIL_ON="press press_draft")
    assert "Error: 2 databases failed:\n- press.0003_issue_number" in done.stderr
    assert "on 'press':" in done.stderr
    assert "on 'press_draft':" in done.stderr


def test_nothing_happens_while_one_server_is_down(project: Project) -> None:
    project.servers["east"].stop()
    try:
        done = project.shoal_command("migrate", code=1)
        as_json = project.shoal_command("migrate", "--json", code=1)
    finally:
        project.servers["east"].start()
    assert done.stdout == ""
    assert done.stderr.startswith("Error: The server of 'press' (127.0.0.1:")
    assert "cannot be reached: Connection refused.\nHint: Start the" in done.stderr
    assert "Nothing was changed anywhere." in done.stderr
    assert as_json.data["ok"] is False
    assert "'press'" in as_json.data["error"]["message"]
    assert nothing_applied(project)


def test_two_runs_at_once_take_turns(project: Project, gate: Path) -> None:
    with project.start("shoal", "migrate", HOLD=str(gate)) as first:
        wait_for(gate.with_suffix(".reached"), first)
        refused = project.shoal_command("migrate", "--lock-timeout", "0.3", code=1)
        with project.start("shoal", "migrate") as second:
            assert second.stdout is not None
            waiting = second.stdout.readline()
            gate.touch()
            project.end(first)
            assert "Nothing to migrate" in project.end(second).stdout
    assert "Another `shoal migrate` is at work on 'accounts'" in refused.stderr
    assert waiting.startswith("Waiting up to 60 s for another `shoal migrate` on")
    assert project.ask("library", "SELECT count(*) FROM library_book") == [(2,)]


def test_ctrl_c_stops_after_the_current_migration(project: Project, gate: Path) -> None:
    with project.start("shoal", "migrate", HOLD=str(gate)) as process:
        wait_for(gate.with_suffix(".reached"), process)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Stopping when the current"):
            assert process.poll() is None
        gate.touch()
        done = project.end(process, code=1)
    assert done.stderr.startswith("Error: Interrupted, with 3 migrations to go;")
    for alias in PRIMARIES:
        assert project.applied(alias, "library") == ["0001_initial", "0002_two_books"]
        assert project.applied(alias, "press") == []
    project.shoal_command("migrate")
    assert len(project.applied("press", "press")) == 3


def test_the_second_ctrl_c_undoes_the_migration_at_hand_everywhere(
    project: Project,
) -> None:
    project.shoal_command("migrate", "press", "0002")
    with psycopg.connect(**connect(project.databases["press_draft"])) as somebody:
        somebody.execute("SET idle_in_transaction_session_timeout = '300s'")
        somebody.execute("LOCK TABLE press_issue IN ACCESS EXCLUSIVE MODE")
        with project.start("shoal", "migrate") as process:
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            until(
                lambda: process.poll() is not None or project.ask("press_draft", waits)
            )
            assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            while not process.stdout.readline().startswith("Stopping when the current"):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            # Nobody need wait for what the server does.
            done = project.end(process, code=1)
    assert done.stderr.startswith("Error: Interrupted.")
    for alias in PRIMARIES:
        assert len(project.applied(alias, "press")) == 2
    project.shoal_command("migrate")
    columns = (
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = 'press_issue' ORDER BY 1"
    )
    for alias in ("press", "press_draft"):
        assert ("number",) in project.ask(alias, columns)


def test_goes_backwards(project: Project) -> None:
    _, done = project.each(["migrate"], ["migrate", "press", "0001"])
    assert "Unapplied press.0003_issue_number on accounts, library" in done.stdout
    assert project.applied("press_draft", "press") == ["0001_initial"]
    done = project.shoal_command("migrate", "library", "zero", "--json")
    undone = done.data["databases"]["library"]["unapplied"]
    assert undone == [
        "press.0001_initial",
        "library.0002_two_books",
        "library.0001_initial",
    ]
    assert project.tables("press") == project.tables("library") == {"django_migrations"}


def test_takes_the_databases_that_are_named(project: Project) -> None:
    project.shoal_command(
        "migrate", "library", "0001", "--database", "library", "press"
    )
    assert project.applied("library", "library") == ["0001_initial"]
    assert project.applied("press", "library") == ["0001_initial"]
    assert project.tables("library") == {"django_migrations", "library_book"}
    assert project.tables("accounts") == project.tables("press_draft") == set()


def test_fakes(project: Project) -> None:
    project.shoal_command("migrate", "--fake")
    assert project.tables("library") == {"django_migrations"}
    assert len(project.applied("press_draft", "press")) == 3


def test_takes_tables_that_are_there_for_an_initial_migration(project: Project) -> None:
    project.shoal_command("migrate", "library", "0001")
    project.ask("library", "DELETE FROM django_migrations WHERE app = 'library'")
    done = project.shoal_command("migrate", "--fake-initial")
    assert "7 migrations through" in done.stdout


def test_refuses_a_history_with_holes_before_anything_changes(project: Project) -> None:
    project.manage("migrate", "--database", "library", "-v0")
    project.ask(
        "library", "DELETE FROM django_migrations WHERE name = '0002_two_books'"
    )
    done = project.shoal_command("migrate", code=1)
    assert "is applied before its dependency library.0002_two_books" in done.stderr
    assert "on database 'library'" in done.stderr
    assert "Nothing was changed anywhere." in done.stderr
    assert project.tables("press") == set()


def test_a_second_name_of_a_database_is_left_out(project: Project) -> None:
    project.databases["legacy"] = project.databases["accounts"]
    done = project.shoal_command("migrate", "--plan")
    assert "Left out legacy: the same database as 'accounts'." in done.stdout


def test_two_clusters_in_one_database_are_refused(project: Project) -> None:
    project.databases["press"] = project.databases["library"]
    done = project.shoal_command("migrate", code=1)
    assert "'library' and 'press' are the same database" in done.stderr
    assert "press.Issue may have a table on 'press' only" in done.stderr
    assert project.tables("library") == set()


REFUSED = {
    ("libary",): (1, "Error: No installed app has the label 'libary'.\nHint: Did you"),
    ("press", "0009"): (1, "Error: No migration of 'press' begins with '0009'."),
    ("press", "0"): (1, "Error: More than one migration of 'press' begins with '0'"),
    ("--database", "library_r1"): (1, "is a replica of 'library': it is given"),
    ("--database", "libary"): (2, "is not in DATABASES. Did you mean 'library'"),
    ("--database", "default"): (2, "the alias 'default' is empty in DATABASES."),
    ("--databse", "library"): (2, "unrecognized arguments"),
}


def test_refuses_what_makes_no_sense(project: Project) -> None:
    found = project.each(*(["migrate", *argv] for argv in REFUSED))
    for done, (code, said) in zip(found, REFUSED.values(), strict=True):
        assert (done.code, done.stdout) == (code, "")
        assert said in done.stderr
    assert nothing_applied(project)


def test_system_checks_come_first(project: Project) -> None:
    project.shoal["CLUSTERS"]["library"]["APPS"] = ["libary"]
    done = project.shoal_command("migrate", code=1)
    assert "The system checks found" in done.stderr
    assert "names 'libary', which is not an installed app. (shoal.E009)" in done.stderr
    assert nothing_applied(project)


def test_django_s_own_commands_keep_working(project: Project) -> None:
    project.manage("makemigrations", "--check", "--dry-run")
    for alias in ("accounts", "library", "press"):
        project.manage("migrate", "--database", alias, "-v0")
    assert project.tables("press") == {"django_migrations", "press_issue"}
    assert project.tables("library") == {"django_migrations", "library_book"}
    left = project.shoal_command("migrate", "--plan", "--json").data["plan"]
    assert {alias for entry in left for alias in entry["runs_on"]} == {"press_draft"}
    assert {alias for entry in left for alias in entry["recorded_on"]} <= (
        {"press_draft"}
    )


def test_django_s_migrate_says_what_to_do_without_a_default(project: Project) -> None:
    done = project.manage("migrate", code=1)
    assert "(shoal.E008) The alias 'default' is empty in DATABASES" in done.stderr
    assert "HINT: Name another with --database: accounts, library, " in done.stderr


def test_an_alias_outside_the_setting_is_migrated_too(project: Project) -> None:
    project.databases["default"] = project.rest
    del project.shoal["CLUSTERS"]["accounts"]
    del project.databases["accounts"]
    project.shoal_command("migrate")
    assert "django_content_type" in project.tables("default")
    assert "library_book" not in project.tables("default")
    assert project.tables("press") == {"django_migrations", "press_issue"}
