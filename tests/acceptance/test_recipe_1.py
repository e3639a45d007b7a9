"""Two models of one app in two PostgreSQL databases, `default` on SQLite."""

import sqlite3
from typing import Any

import pytest

from tests.acceptance.conftest import Make
from tests.acceptance.projects import Project

DJANGOS_OWN = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "auth_user",
    "auth_user_groups",
    "auth_user_user_permissions",
    "django_admin_log",
    "django_content_type",
    "django_session",
}


def new(make: Make) -> Project:
    return make("recipe_1_two_databases", USER_DB="north", ADMIN_DB="east")


@pytest.fixture(scope="module")
def project(make: Make) -> Project:
    project = new(make)
    project.manage("shoal", "migrate")
    return project


def on_sqlite(project: Project, sql: str) -> list[Any]:
    connection = sqlite3.connect(project.directory / "db.sqlite3")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def sqlite_tables(project: Project) -> set[str]:
    rows = on_sqlite(project, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {row[0] for row in rows} - {"django_migrations", "sqlite_sequence"}


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


@pytest.mark.parametrize(
    "commands",
    [
        [["shoal", "migrate"]],
        [["migrate"], ["migrate", "--database=user"], ["migrate", "--database=admin"]],
    ],
    ids=["shoal migrate", "migrate"],
)
def test_each_table_is_where_it_belongs_and_nowhere_else(
    make: Make, commands: list[list[str]]
) -> None:
    project = new(make)
    for command in commands:
        project.manage(*command)
    assert project["USER_DB"].tables() == {"core_customerinformation"}
    assert project["ADMIN_DB"].tables() == {"core_customersupport"}
    assert sqlite_tables(project) == DJANGOS_OWN


def write_and_read(site: Any) -> Any:
    Information, Support = site.CustomerInformation, site.CustomerSupport
    Information.objects.create(name="Ada", email="ada@example.com")
    Information.objects.bulk_create([Information(name="Bob", email="bob@example.com")])
    Support.objects.create(email="ada@example.com", question="Why?")
    asked = Support.objects.filter(email="ada@example.com")
    asked.update(answered=True)
    return {
        "filtered": [i.email for i in Information.objects.filter(name="Ada")],
        "explicit": Information.objects.using("user").filter(name="Bob").count(),
        "support": list(asked.values_list("question", "answered")),
    }


def test_rows_are_written_to_and_read_from_their_own_server(project: Project) -> None:
    found = project.run(write_and_read)
    assert found == {
        "filtered": ["ada@example.com"],
        "explicit": 1,
        "support": [["Why?", True]],
    }
    names = "SELECT name FROM core_customerinformation WHERE email LIKE '%.com' "
    assert project["USER_DB"].column(names + "ORDER BY name") == ["Ada", "Bob"]
    questions = "SELECT question, answered FROM core_customersupport"
    assert ("Why?", True) in project["ADMIN_DB"].ask(questions)


def look_elsewhere(site: Any) -> Any:
    from shoal.routing import unguarded

    Information = site.CustomerInformation
    there = Information.objects.using("admin")
    found = {
        "read": list(there.values_list("name", flat=True)),
        "refused": site.error(lambda: there.create(name="Eve", email="e@example.com")),
    }
    with unguarded("admin"):
        there.create(name="Eve", email="e@example.com")
    return found


def test_using_overrides_the_router(project: Project) -> None:
    """Reads go where they are sent. A write there must be meant."""
    admin = project["ADMIN_DB"]
    admin.ask(
        "CREATE TABLE core_customerinformation (id bigserial PRIMARY KEY, "
        "name varchar(100), email varchar(254)); "
        "INSERT INTO core_customerinformation (name) VALUES ('Old copy')"
    )
    try:
        found = project.run(look_elsewhere)
        assert found["read"] == ["Old copy"]
        assert found["refused"].startswith(
            "WrongCluster: A write on table 'core_customerinformation' was refused on "
            "the alias 'admin': the model core.CustomerInformation lives on the "
            "cluster 'user'."
        )
        names = "SELECT name FROM core_customerinformation ORDER BY id"
        assert admin.column(names) == ["Old copy", "Eve"]
    finally:
        admin.ask("DROP TABLE core_customerinformation")


def edit_in_the_admin(site: Any) -> Any:
    information = "/admin/core/customerinformation/"
    support = "/admin/core/customersupport/"
    ada = {"name": "Ada L.", "email": "lovelace@example.org"}
    question = {"email": "lovelace@example.org", "question": "When?"}
    saved = [
        site.login("root", "wrong"),
        site.login("root", "a long password"),
        site.post(information + "add/", **ada),
        site.post(support + "add/", **question),
    ]
    person = site.CustomerInformation.objects.get(name="Ada L.")
    asked = site.CustomerSupport.objects.get(question="When?")
    person_page = f"{information}{person.pk}/"
    saved += [
        site.post(person_page + "change/", **ada | {"name": "Ada Lovelace"}),
        site.post(f"{support}{asked.pk}/change/", **question, answered="on"),
    ]
    return {
        "saved": saved,
        "lists": [
            "Ada Lovelace" in site.client.get(information + "?q=lovelace").text,
            "When?" in site.client.get(support + "?answered__exact=1").text,
        ],
        "history": site.client.get(person_page + "history/").status_code,
        "deleted": site.post(f"{support}{asked.pk}/delete/", post="yes"),
    }


def test_the_admin_logs_in_on_default_and_edits_both_models(project: Project) -> None:
    project.manage(
        "createsuperuser",
        "--noinput",
        "--username=root",
        "--email=root@example.com",
        DJANGO_SUPERUSER_PASSWORD="a long password",
    )
    found = project.run(edit_in_the_admin)
    assert found == {
        "saved": [False, True, 302, 302, 302, 302],
        "lists": [True, True],
        "history": 200,
        "deleted": 302,
    }
    people = "SELECT name FROM core_customerinformation WHERE email LIKE 'lovelace%'"
    assert project["USER_DB"].column(people) == ["Ada Lovelace"]
    gone = "SELECT count(*) FROM core_customersupport WHERE question = 'When?'"
    assert project["ADMIN_DB"].column(gone) == [0]
    log = "SELECT action_flag FROM django_admin_log ORDER BY id"
    assert [row[0] for row in on_sqlite(project, log)] == [1, 1, 2, 2, 3]


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr


def test_the_projects_tests_pass_with_pytest(project: Project) -> None:
    done = project.python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.code == 0, done.output
    assert "3 passed" in done.stdout
