"""No default database: people in one database, the application's notes in another."""

from typing import Any

import pytest

from tests.acceptance.conftest import Make
from tests.acceptance.projects import Project

PASSWORD = "a long password"
PEOPLE = {
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


@pytest.fixture(scope="module")
def project(make: Make) -> Project:
    """Migrated by one command, with one person in it."""
    project = make("recipe_2_no_default", AUTH_DB="north", ACMEAPP_DB="east")
    project.manage("shoal", "migrate")
    project.manage(
        "createsuperuser",
        "--noinput",
        "--username=root",
        "--email=root@example.com",
        "--database=auth_db",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    return project


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_one_command_migrates_all(project: Project) -> None:
    assert project["AUTH_DB"].tables() == PEOPLE
    assert project["ACMEAPP_DB"].tables() == {"acme_note"}
    # What post_migrate writes is there as well.
    permissions = "SELECT codename FROM auth_permission WHERE codename LIKE '%note'"
    assert len(project["AUTH_DB"].ask(permissions)) == 4


def visit(site: Any, password: str) -> Any:
    anonymous = site.client.get("/")
    form = {"username": "root", "password": password}
    logged_in = site.client.post("/login/", form)
    site.client.post("/", {"text": "Difference engine"})
    page = site.client.get("/")
    return [anonymous.status_code, logged_in.headers["Location"], page.json()]


def test_login_sessions_and_pages_use_both_databases(project: Project) -> None:
    status, location, page = project.run(visit, PASSWORD)
    assert (status, location, page["author"]) == (302, "/", "root")
    assert "Difference engine" in page["notes"]
    assert project["AUTH_DB"].column("SELECT count(*) > 0 FROM django_session") == [
        True
    ]
    notes = "SELECT text FROM acme_note WHERE text LIKE 'Diff%'"
    assert project["ACMEAPP_DB"].column(notes) == ["Difference engine"]


def edit_in_the_admin(site: Any, password: str) -> Any:
    note, user = "/admin/acme/note/", "/admin/auth/user/"
    root = site.User.objects.get(username="root").pk
    saved = [
        site.login("root", password),
        site.post(note + "add/", author=root, text="From the admin"),
        site.post(
            user + "add/",
            username="grace",
            password1=password,
            password2=password,
            usable_password="true",
        ),
    ]
    pk = site.Note.objects.get(text="From the admin").pk
    saved.append(site.post(f"{note}{pk}/change/", author=root, text="Changed there"))
    page = site.client.get(note)
    return [*saved, page.status_code, "Changed there" in page.text]


def test_the_admin_edits_both_databases(project: Project) -> None:
    found = project.run(edit_in_the_admin, PASSWORD)
    assert found == [True, 302, 302, 302, 200, True]
    notes = "SELECT text FROM acme_note WHERE text LIKE '%admin' OR text LIKE 'Ch%'"
    assert project["ACMEAPP_DB"].column(notes) == ["Changed there"]
    people = "SELECT username FROM auth_user WHERE username = 'grace'"
    assert project["AUTH_DB"].column(people) == ["grace"]
    log = "SELECT object_repr FROM django_admin_log ORDER BY id"
    written = project["AUTH_DB"].column(log)
    assert written == ["From the admin", "grace", "Changed there"]


def log_in(site: Any, password: str) -> Any:
    return site.login("root", password)


def test_a_password_is_changed(project: Project) -> None:
    typed = "another long password"
    done = project.manage(
        "changepassword", "root", "--database=auth_db", stdin=f"{typed}\n{typed}\n"
    )
    assert "Password changed successfully for user 'root'" in done.stdout
    assert not project.run(log_in, PASSWORD)
    assert project.run(log_in, typed)
    project.manage(
        "changepassword",
        "root",
        "--database=auth_db",
        stdin=f"{PASSWORD}\n{PASSWORD}\n",
    )


def test_data_is_dumped_flushed_and_loaded_database_by_database(make: Make) -> None:
    project = make("recipe_2_no_default", AUTH_DB="north", ACMEAPP_DB="east")
    project.manage("shoal", "migrate")
    people, notes = project["AUTH_DB"], project["ACMEAPP_DB"]
    people.ask(
        "INSERT INTO auth_user (id, username, password, is_superuser, first_name, "
        "last_name, email, is_staff, is_active, date_joined) VALUES "
        "(7, 'ada', '!', true, '', '', '', true, true, now())"
    )
    notes.ask("INSERT INTO acme_note (author_id, text) VALUES (7, 'Dumped')")
    project.manage("dumpdata", "auth.user", "--database=auth_db", "-o=people.json")
    project.manage("dumpdata", "acme", "--database=acmeapp_db", "-o=notes.json")
    for alias in ("auth_db", "acmeapp_db"):
        project.manage("flush", "--no-input", f"--database={alias}")
    assert people.column("SELECT count(*) FROM auth_user") == [0]
    assert people.column("SELECT count(*) > 0 FROM auth_permission") == [True]
    assert notes.column("SELECT count(*) FROM acme_note") == [0]

    # Each takes from both files what lives there.
    for alias in ("auth_db", "acmeapp_db"):
        files = ("people.json", "notes.json")
        done = project.manage("loaddata", *files, f"--database={alias}")
        assert "Installed 1 object(s) (of 2)" in done.stdout
    assert people.column("SELECT username FROM auth_user") == ["ada"]
    assert notes.column("SELECT text FROM acme_note WHERE author_id = 7") == ["Dumped"]


def test_old_sessions_are_cleared(project: Project) -> None:
    project["AUTH_DB"].ask(
        "INSERT INTO django_session VALUES ('old', '', now() - interval '1 day')"
    )
    project.manage("clearsessions")
    old = "SELECT count(*) FROM django_session WHERE session_key = 'old'"
    assert project["AUTH_DB"].column(old) == [0]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("migrate", "The alias 'default' is empty in DATABASES"),
        (
            "createsuperuser --noinput --username=eve --email=e@example.com",
            "Please supply the ENGINE value",
        ),
    ],
)
def test_djangos_own_commands_must_be_told_the_database(
    project: Project, command: str, said: str
) -> None:
    """Django looks for `default` there; the how-to says what to type instead."""
    done = project.python("manage.py", *command.split())
    assert done.code == 1
    assert said in done.stderr


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr
