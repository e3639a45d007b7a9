"""`manage.py shoal check` on real servers."""

from typing import Any

from tests.integration.cli.conftest import Done, Project
from tests.waiting import until


def messages(project: Project, *, code: int) -> dict[str, Any]:
    found = project.shoal_command("check", "--json", code=code).data
    assert found["ok"] is (code == 0)
    return {message["id"]: message for message in found["messages"]}


def test_a_project_before_its_first_migration(project: Project) -> None:
    done, strict = project.each(["check"], ["check", "--fail-level", "WARNING"])
    assert "Warning shoal.W008: 'press' lacks 7 migrations: contentt" in done.stdout
    assert "Checked 5 databases: 4 warnings." in done.stdout
    assert (done.code, strict.code) == (0, 1)


def test_nothing_wrong(project: Project) -> None:
    _, done = project.each(["migrate"], ["check"])
    assert done == Done(0, "Checked 5 databases: nothing wrong.\n", "")


def test_a_missing_database(project: Project) -> None:
    project.databases["press"]["NAME"] = "printing"
    found = messages(project, code=1)["shoal.E015"]
    assert "has no database 'printing'" in found["message"]
    user = project.databases["press"]["USER"]
    assert found["hint"] == f'Create it: CREATE DATABASE "printing" OWNER "{user}";'


def test_a_half_migrated_project(project: Project) -> None:
    _, done, _, after = project.each(
        ["migrate", "--database", "accounts", "library", "press"],
        ["check"],
        ["migrate"],
        ["check", "--json"],
    )
    assert (
        "Error shoal.E018: press.0001_initial is applied on 'accounts', 'library', "
        "'press', but not on 'press_draft'."
    ) in done.stdout
    # What has nothing to do there is not half done.
    assert "E018: library" not in done.stdout
    assert done.stderr == "Error: The check found 3 errors, 1 warning.\n"
    assert after.data == {"ok": True, "messages": []}


def test_a_table_that_was_left_behind(project: Project) -> None:
    project.shoal_command("migrate")
    project.ask("library", "CREATE TABLE press_issue (id int)")
    found = messages(project, code=0)["shoal.W009"]
    assert found["message"] == (
        "'library' has 1 table of models that live on 'press': press_issue."
    )


def test_a_replica_that_lags(project: Project) -> None:
    project.shoal["CLUSTERS"]["library"]["MAX_LAG"] = 0.001
    with project.servers["north_r1"].replay_paused():
        project.ask("library", "CREATE TABLE anything (id int)")
        until(project.has_received)
        found = messages(project, code=0)["shoal.W007"]
    assert found["message"].startswith("The replica 'library_r1' (north_r1) is ")
    assert "behind 'library'; MAX_LAG is 0.001 s." in found["message"]


def test_an_engine_that_there_is_not(project: Project) -> None:
    project.databases["press"]["ENGINE"] = "django.db.backends.postgres"
    found = project.each(["status"], ["check"], ["migrate"])
    for done in found:
        assert done.code == 1
        assert (
            "DATABASES['press'] cannot be used: 'django.db.backends.postgres' isn't"
            in (done.stdout + done.stderr)
        )


def test_two_clusters_in_one_database(project: Project) -> None:
    project.databases["press"] = project.databases["library"]
    found = messages(project, code=1)["shoal.E017"]
    assert "'library' and 'press' lead to the same database" in found["message"]


def test_the_project_s_own_checks_run_too(project: Project) -> None:
    project.databases["accounts"]["ATOMIC_REQUESTS"] = True
    assert messages(project, code=0)["shoal.W003"]["level"] == "warning"


def test_broken_settings_are_one_clear_error_everywhere(project: Project) -> None:
    project.shoal["CLUSTERS"]["libary"] = project.shoal["CLUSTERS"].pop("library")
    status, migrate, check, as_json = project.each(
        ["status"], ["migrate"], ["check"], ["migrate", "--json"]
    )
    fact = "SHOAL[\"CLUSTERS\"] names the alias 'libary', which is not in DATABASES."
    for done in (status, migrate):
        assert done.stdout == ""
        assert done.stderr.startswith(f"Error: {fact}\nHint: Did you mean 'library'?")
    assert f"Error shoal.E002: {fact}" in check.stdout
    assert as_json.data["error"]["message"] == fact
    assert as_json.data["error"]["hint"].startswith("Did you mean 'library'?")
    assert [one.code for one in (status, migrate, check, as_json)] == [1, 1, 1, 1]


def test_help_is_friendly(project: Project) -> None:
    alone, asked, unknown, one = project.each(
        [], ["--help"], ["migrat"], ["migrate", "--help"]
    )
    assert alone == asked
    assert alone.code == 0
    for subcommand in ("status", "check", "migrate", "publish"):
        assert subcommand in alone.stdout
    assert "manage.py shoal migrate --plan" in alone.stdout
    assert unknown.code == 2
    assert "invalid choice: 'migrat'" in unknown.stderr
    assert "--lock-timeout SECONDS" in one.stdout
