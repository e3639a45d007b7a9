"""What a user sees when something is wrong: the fact, the alias, the way out."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shoal.lab import Lab, Postgres
from tests.acceptance.conftest import pg_bin
from tests.acceptance.projects import Place, Project

REPLICA = """
DATABASES["auth_replica"] = postgres("REPLICA")
SHOAL["CLUSTERS"]["auth_db"]["REPLICAS"] = ["auth_replica"]
"""
NOT_CHANGED = "Nothing was changed anywhere."


@pytest.fixture(scope="module")
def servers() -> Iterator[Lab]:
    """Servers of these tests alone, since they are stopped and started."""
    lab = Lab(
        Postgres("north", replicas=("north_replica",)),
        Postgres("east"),
        pg_bin=pg_bin(18),
    )
    with lab:
        yield lab


Make = Callable[..., Project]


@pytest.fixture
def make(servers: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Return a function that gives a recipe new databases and further settings."""
    count = itertools.count(1)

    def project(recipe: str, more_settings: str = "", **on: str) -> Project:
        directory = tmp_path_factory.mktemp("bad_input")
        places = {
            name: Place.new(servers[server], f"{name}_{next(count)}".lower())
            for name, server in on.items()
        }
        project = Project(recipe, directory, places)
        settings = project.directory / "config" / "changed.py"
        settings.write_text(f"from config.settings import *\n{more_settings}")
        project.environ["DJANGO_SETTINGS_MODULE"] = "config.changed"
        return project

    yield project
    for server in servers:
        server.start()


def no_default(make: Make, more_settings: str = "") -> Project:
    return make(
        "recipe_2_no_default", more_settings, AUTH_DB="north", ACMEAPP_DB="east"
    )


def with_replica(make: Make, servers: Lab) -> Project:
    project = no_default(make, REPLICA)
    replica = project["AUTH_DB"].on(servers["north_replica"])
    project.environ.update(replica.environ("REPLICA"))
    return project


def changed(function: Callable[..., Any], project: Project, *arguments: Any) -> Any:
    settings = {"DJANGO_SETTINGS_MODULE": "config.changed"}
    return project.run(function, *arguments, **settings)


def visit(site: Any, path: str) -> Any:
    site.client.raise_request_exception = True
    return site.error(lambda: site.client.get(path))


@pytest.mark.parametrize(
    ("settings", "fact", "way_out"),
    [
        pytest.param(
            'SHOAL["CLUSTERS"]["auth_db"]["APP"] = ["auth"]',
            "SHOAL[\"CLUSTERS\"]['auth_db'] has the unknown key 'APP'.",
            "Did you mean 'APPS'?",
            id="unknown key",
        ),
        pytest.param(
            'SHOAL["CLUSTERS"]["auth_dp"] = {}',
            "names the alias 'auth_dp', which is not in DATABASES.",
            "Did you mean 'auth_db'?",
            id="unknown alias",
        ),
        pytest.param(
            'SHOAL["CLUSTERS"]["auth_db"]["REPLICAS"] = ["auth_replica"]',
            "names the alias 'auth_replica', which is not in DATABASES.",
            "Did you mean 'auth_db'?",
            id="missing replica",
        ),
        pytest.param(
            'SHOAL["CLUSTERS"]["default"] = {"APPS": ["messages"]}',
            "names the alias 'default', which is empty in DATABASES.",
            "Give 'default' an ENGINE, or name one of: auth_db, acmeapp_db.",
            id="empty default",
        ),
    ],
)
def test_a_broken_setting_is_one_clear_error_everywhere(
    make: Make, settings: str, fact: str, way_out: str
) -> None:
    project = no_default(make, settings)
    for command in ("check", "shoal check", "shoal status", "shoal migrate"):
        said = project.manage(*command.split(), code=1).output
        assert said.count(fact) == 1, said
        assert said.count(way_out) == 1, said
    assert project["AUTH_DB"].all_tables() == set()
    error = changed(visit, project, "/admin/login/")
    assert error.startswith("SettingsError: ")
    assert fact in error
    assert way_out in error


def test_several_mistakes_are_told_at_once(make: Make) -> None:
    project = no_default(
        make,
        'SHOAL["CLUSTERS"]["auth_db"]["APP"] = []\n'
        'SHOAL["CLUSTERS"]["acmeapp_db"]["REPLICAS"] = "x"\n',
    )
    said = project.manage("shoal", "status", code=1).stderr
    assert "The SHOAL setting has 2 problems:" in said
    assert "'APP'" in said
    assert "'acmeapp_db'" in said


def test_an_app_that_does_not_exist_stops_migrate(make: Make) -> None:
    project = no_default(make, 'SHOAL["CLUSTERS"]["acmeapp_db"]["APPS"] = ["acm"]')
    for command in ("check", "shoal check", "shoal migrate"):
        said = project.manage(*command.split(), code=1).output
        assert "names 'acm', which is not an installed app." in said
        assert "No cluster claims acme.Note" in said
    assert "Did you mean 'acme'?" in project.manage("shoal", "check", code=1).output
    assert project["AUTH_DB"].all_tables() == set()


def test_an_unreachable_server_stops_migrate_before_anything_is_changed(
    make: Make, servers: Lab
) -> None:
    project = no_default(make)
    servers["east"].stop()
    fact = "The server of 'acmeapp_db' (127.0.0.1:{}) cannot be reached"
    fact = fact.format(servers["east"].port)
    way_out = "Start the server, or correct HOST and PORT in DATABASES['acmeapp_db']."

    project.manage("check")  # asks no server
    for command in ("shoal check", "shoal status", "shoal migrate"):
        done = project.manage(*command.split(), code=1)
        assert done.output.count(fact) == 1, done.output
        assert done.output.count(way_out) == 1, done.output
        told = project.manage(*command.split(), "--json", code=1)
        assert told.json()["ok"] is False
        assert fact in told.stdout
    assert NOT_CHANGED in done.stderr
    assert project["AUTH_DB"].all_tables() == set()

    servers["east"].start()
    project.manage("shoal", "migrate")
    assert "acme_note" in project["ACMEAPP_DB"].tables()


def test_no_password_is_shown(make: Make, servers: Lab) -> None:
    project = no_default(make)
    for command in ("shoal check", "shoal status", "shoal migrate"):
        done = project.manage(*command.split(), code=1, AUTH_DB_PASSWORD="hunter2")
        assert "The server of 'auth_db'" in done.output
        assert "refuses user 'shoal'" in done.output
        assert "Check USER and PASSWORD in DATABASES['auth_db']" in done.output
        assert "hunter2" not in done.output


def test_a_missing_database_comes_with_the_sql_that_creates_it(make: Make) -> None:
    project = no_default(make)
    name = {"ACMEAPP_DB_NAME": "nowhere"}
    for command in ("shoal check", "shoal status", "shoal migrate"):
        done = project.manage(*command.split(), code=1, **name)
        assert "The server of 'acmeapp_db'" in done.output
        assert "has no database 'nowhere'" in done.output
        assert 'CREATE DATABASE "nowhere"' in done.output
    assert project["AUTH_DB"].all_tables() == set()


def count_notes(site: Any) -> Any:
    site.client.raise_request_exception = True
    return [
        site.error(lambda: site.client.get("/admin/login/")),
        site.error(lambda: site.Note.objects.count()),
    ]


def test_a_half_migrated_cluster_is_named_and_finished(make: Make) -> None:
    project = no_default(make)
    project.manage("migrate", "--database=auth_db")
    project.manage("migrate", "acme", "zero", "--database=acmeapp_db")
    # The half that is there serves; the other half says which table it lacks.
    login, notes = changed(count_notes, project)
    assert login is None
    assert "acme_note" in notes

    said = project.manage("shoal", "check", code=1).output
    fact = "acme.0001_initial is applied on 'auth_db', but not on 'acmeapp_db'."
    assert said.count(fact) == 1, said
    assert said.count("'acmeapp_db' lacks") == 1, said
    assert "'auth_db' lacks" not in said
    assert "Run `manage.py shoal migrate`." in said
    clusters = project.manage("shoal", "status", "--json").json()
    assert "acme.0001_initial" in str(clusters)

    project.manage("shoal", "migrate")
    assert project["ACMEAPP_DB"].tables() == {"acme_note"}
    assert "lacks" not in project.manage("shoal", "check").output


def test_a_replica_that_is_down_is_named_and_migrate_does_without(
    make: Make, servers: Lab
) -> None:
    project = with_replica(make, servers)
    servers["north_replica"].stop()
    project.manage("check")
    for command in ("shoal check", "shoal status"):
        said = project.manage(*command.split(), code=1).output
        assert said.count("The server of 'auth_replica'") == 1, said
        assert "DATABASES['auth_replica']" in said
        assert "The server of 'auth_db'" not in said
    project.manage("shoal", "migrate")
    assert "auth_user" in project["AUTH_DB"].tables()


def test_a_replica_that_is_none_is_named(make: Make, servers: Lab) -> None:
    project = with_replica(make, servers)
    elsewhere = project["ACMEAPP_DB"].environ("REPLICA")
    for command in ("shoal check", "shoal status"):
        said = project.manage(*command.split(), code=1, **elsewhere).output
        assert "'auth_replica' is listed as a replica of 'auth_db', but" in said
        assert "'east' is not a replica" in said
        assert "remove it from the REPLICAS" in said


def use_unknown_names(site: Any) -> Any:
    from shoal.routing import pinned, role

    return [
        site.error(lambda: role("site", "drafft")),
        site.error(lambda: role("sight", "draft")),
        site.error(lambda: role("accounts", "draft")),
        site.error(lambda: pinned("sites")),
    ]


def test_an_unknown_role_or_cluster_is_named_with_the_nearest(make: Make) -> None:
    project = make(
        "recipe_5_editions",
        'SHOAL["CLUSTERS"]["site"]["REQUEST_ROLE"] = lambda request: "drafft"',
        ACCOUNTS_DB="north",
        SITE_DB="north",
        SITE_DRAFT_DB="north",
        RECORDS_DB="east",
        RECORDS_INTERNAL_DB="east",
    )
    fact = "UnknownRole: The cluster 'site' has no edition with the role 'drafft'."
    way_out = "Did you mean 'draft'? Known: 'draft', 'public'."
    edition, cluster, no_roles, pin = changed(use_unknown_names, project)
    assert edition == f"{fact}\nHint: {way_out}"
    assert cluster.startswith("UnknownCluster: No cluster is named 'sight'.")
    assert "Did you mean 'site'?" in cluster
    assert "The cluster 'accounts' has no edition with the role 'draft'" in no_roles
    assert 'Add "ROLES" to SHOAL["CLUSTERS"][\'accounts\']' in no_roles
    assert pin.startswith("UnknownCluster: No cluster is named 'sites'.")
    # A request that asks for one: an error, and not the edition for everybody.
    assert changed(visit, project, "/page/x/") == f"{fact}\nHint: {way_out}"


@pytest.mark.parametrize(
    "arguments",
    ["shoal nonsense", "shoal migrate --nonsense", "shoal publish pages.Page --to=x"],
)
def test_wrong_usage_exits_with_2(make: Make, arguments: str) -> None:
    done = no_default(make).manage(*arguments.split(), code=2)
    assert done.stdout == ""
    assert "usage: manage.py shoal" in done.stderr
