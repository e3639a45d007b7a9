"""`call_command("shoal", ...)` from code, and databases in memory."""

import json
import textwrap
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Project

START = """
import io
import django
django.setup()
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, transaction

def tables(alias):
    # Those of Shoal's own are in each database.
    names = connections[alias].introspection.table_names()
    return {name for name in names if not name.startswith("shoal_")}

def refused(*args, **options):
    try:
        call_command(*args, **options, stdout=io.StringIO(), stderr=io.StringIO())
    except CommandError as error:
        return error
    raise AssertionError("not refused")
"""


def run(project: Project, body: str) -> str:
    """Run a script in the project and return what it printed."""
    done = project.end(project.python(START + textwrap.dedent(body)))
    assert done.stderr == ""
    return done.stdout


def sqlite(name: str) -> dict[str, str]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}


def test_call_command(project: Project) -> None:
    printed = run(
        project,
        """
        out = io.StringIO()
        call_command("shoal", "migrate", "library", database=["library"], stdout=out)
        assert "library_book" in tables("library"), tables("library")
        assert "Applied library.0001_initial on library" in out.getvalue()
        out = io.StringIO()
        call_command("shoal", "status", json=True, stdout=out)
        print(out.getvalue())
        error = refused("shoal", "migrate", "libary")
        assert error.returncode == 1
        assert str(error).startswith("No installed app has the label 'libary'.")
        assert refused("shoal", "migrate", database="libary").returncode == 2
        with transaction.atomic(using="library"):
            error = refused("shoal", "migrate", database=["library"])
        assert str(error).startswith("A transaction is open on 'library'")
        """,
    )
    assert json.loads(printed)["ok"]


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "file"])
def test_sqlite(project: Project, tmp_path: Path, in_memory: bool) -> None:
    project.databases = {
        alias: sqlite(":memory:" if in_memory else str(tmp_path / alias))
        for alias in ("default", "accounts", "library", "press", "press_draft")
    }
    project.shoal["CLUSTERS"]["library"]["REPLICAS"] = []
    project.shoal["CLUSTERS"]["default"] = {}
    run(
        project,
        """
        call_command("shoal", "status", stdout=io.StringIO())
        call_command("shoal", "migrate", stdout=io.StringIO())
        assert tables("library") == {"django_migrations", "library_book"}
        assert tables("press_draft") == {"django_migrations", "press_issue"}
        assert "django_content_type" in tables("accounts")
        assert tables("default") == {"django_migrations"}
        with connections["press_draft"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM press_issue")
            assert cursor.fetchone() == (2,)
        call_command("shoal", "migrate", "press", "zero", stdout=io.StringIO())
        assert tables("press") == {"django_migrations"}
        call_command("shoal", "check", stdout=io.StringIO())
        for connection in connections.all(initialized_only=True):
            connection.close()
            if connection.connection:  # In memory: Django keeps it.
                connection.connection.close()
        """,
    )


def test_looking_at_sqlite_makes_no_file(project: Project, tmp_path: Path) -> None:
    project.databases = {"default": sqlite(str(tmp_path / "site.sqlite3"))}
    project.shoal = {}
    done = project.shoal_command("status")
    assert 'SHOAL["CLUSTERS"] lists no clusters' in done.stdout
    assert "site.sqlite3" in done.stdout
    project.shoal_command("check")
    assert list(tmp_path.iterdir()) == []
    project.databases["default"]["NAME"] = str(tmp_path / "nowhere" / "site.sqlite3")
    done = project.shoal_command("migrate", code=1)
    assert "unable to open database file" in done.stderr
