"""What other people's migrations and signal handlers do to `shoal migrate`."""

import contextlib
import sqlite3
import textwrap
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Done, Project

EXTRA = {"TEST_APPS": "extra"}
INITIAL = """
from django.db import migrations, models

class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))])
    ]
"""
SECOND = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("extra", "0001_initial")]
    operations = [
        migrations.AddField("Thing", "size", models.IntegerField(default=0))
    ]
"""
SQUASHED = """
from django.db import migrations, models

class Migration(migrations.Migration):
    replaces = [("extra", "0001_initial"), ("extra", "0002_size")]
    operations = [
        migrations.CreateModel(
            "Thing",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("size", models.IntegerField(default=0)),
            ],
        )
    ]
"""


class Extra:
    """A project of two SQLite databases with one more app, made by the test."""

    def __init__(self, project: Project, directory: Path) -> None:
        self.project, self.directory = project, directory
        project.databases = {
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(directory / f"{alias}.sqlite3"),
            }
            for alias in ("default", "extra", "draft")
        }
        roles = {"public": "extra", "draft": "draft"}
        project.shoal = {"CLUSTERS": {"extra": {"APPS": ["extra"], "ROLES": roles}}}
        self.write("__init__", "")
        self.write("migrations/__init__", "")
        self.write("migrations/0001_initial", INITIAL)

    def write(self, module: str, source: str) -> None:
        path = self.directory / "extra" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def migrate(self, *argv: str, code: int = 0) -> Done:
        return self.project.shoal_command(
            "migrate",
            "extra",
            *argv,
            code=code,
            PYTHONPATH=str(self.directory),
            TEST_APPS="extra",
        )


@pytest.fixture
def extra(project: Project, tmp_path: Path) -> Extra:
    return Extra(project, tmp_path)


def test_a_squashed_migration_that_one_alias_has_in_part(extra: Extra) -> None:
    extra.write("migrations/0002_size", SECOND)
    extra.migrate("0001", "--database", "draft")
    extra.write("migrations/0001_squashed", SQUASHED)
    done = extra.migrate("--json").data["databases"]
    assert done["draft"]["applied"] == ["extra.0002_size"]
    assert done["extra"]["applied"] == ["extra.0001_squashed"]
    again = extra.migrate("--json").data["databases"]
    assert [one["applied"] for one in again.values()] == [[], [], []]


def test_a_migration_that_exits_is_a_failure(extra: Extra) -> None:
    extra.write(
        "migrations/0002_exit",
        """
        import sys
        from django.db import migrations

        class Migration(migrations.Migration):
            dependencies = [("extra", "0001_initial")]
            operations = [migrations.RunPython(lambda *args: sys.exit("enough"))]
        """,
    )
    done = extra.migrate(code=1)
    assert "- extra.0002_exit failed on 'draft': SystemExit: enough." in done.stderr


def test_migrations_that_cannot_be_imported(extra: Extra) -> None:
    extra.write("migrations/0002_wrong", "import nothing_of_that_name")
    done = extra.migrate(code=1)
    assert done.stderr.startswith(
        "Error: The migrations of the project cannot be read: No module named "
        "'nothing_of_that_name'"
    )


def test_two_migrations_that_nothing_follows(extra: Extra) -> None:
    extra.write("migrations/0002_size", SECOND)
    extra.write("migrations/0002_size_too", SECOND)
    done = extra.migrate(code=1)
    assert done.stderr == (
        "Error: The app 'extra' has 2 migrations that nothing follows: 0002_size, "
        "0002_size_too.\nHint: Merge them: `manage.py makemigrations --merge`. "
        "Nothing was changed anywhere.\n"
    )


def test_a_handler_that_fails_and_one_that_prints(extra: Extra) -> None:
    extra.write(
        "apps",
        """
        from django.apps import AppConfig
        from django.db.models.signals import post_migrate, pre_migrate

        def handle(sender, using, **kwargs):
            print("printed on", using)
            if using == "draft":
                raise ValueError("not here")

        class ExtraConfig(AppConfig):
            name = "extra"

            def ready(self):
                post_migrate.connect(handle, sender=self)
        """,
    )
    extra.write("models", "")
    done = extra.migrate("--json", code=1)
    assert done.data["databases"]["draft"]["error"] == "ValueError: not here"
    assert done.data["databases"]["extra"]["error"] is None
    assert done.data["databases"]["draft"]["applied"] == ["extra.0001_initial"]
    assert "printed on extra" in done.stderr
    assert "Migrating failed on 'draft': ValueError: not here." in done.stderr


MODELS = """
from django.db import migrations, models

def model(name):
    return migrations.CreateModel(name, [("id", models.BigAutoField(primary_key=True))])

class Migration(migrations.Migration):
    operations = [model("Left"), model("Right")]
"""
WRITES_ON_BOTH = """
from django.db import migrations, models
from django.db.models import F

def touch(apps, schema_editor):
    for name in ("Left", "Right"):
        apps.get_model("extra", name).objects.update(id=F("id"))

class Migration(migrations.Migration):
    dependencies = [("extra", "0001_initial")]
    operations = [
        migrations.AddField("Left", "size", models.IntegerField(default=0)),
        migrations.AddField("Right", "size", models.IntegerField(default=0)),
        migrations.RunPython(touch),
    ]
"""


def test_code_that_writes_on_two_servers_does_not_wait_for_itself(
    project: Project, tmp_path: Path
) -> None:
    """Each alias holds a lock on its table that the other one's code would wait for."""
    databases = {alias: project.databases[alias] for alias in ("library", "press")}
    extra = Extra(project, tmp_path)
    project.databases = {"default": {}, **databases}
    claims = {"library": ["extra.Left"], "press": ["extra.Right"]}
    rest = {"APPS": ["contenttypes", "library", "press"]}
    project.shoal = {
        "CLUSTERS": {
            "library": {**rest, "MODELS": claims["library"]},
            "press": {"MODELS": claims["press"]},
        }
    }
    extra.write("migrations/0001_initial", MODELS)
    extra.write("migrations/0002_size", WRITES_ON_BOTH)
    done = extra.migrate("--json").data["databases"]
    both = ["extra.0001_initial", "extra.0002_size"]
    assert {alias: done[alias]["applied"] for alias in claims} == {
        "library": both,
        "press": both,
    }


MODEL = """
from django.db import models

class {name}(models.Model):
    pass
"""
RENAMED = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("extra", "0001_initial")]
    operations = [migrations.RenameModel("Thing", "Item")]
"""


@pytest.mark.parametrize("command", ["shoal migrate", "migrate --database"])
def test_a_renamed_model_keeps_its_content_type_on_another_server(
    extra: Extra, command: str
) -> None:
    clusters = extra.project.shoal["CLUSTERS"]
    clusters["extra"] = {"APPS": ["extra"]}
    clusters["draft"] = {"APPS": ["contenttypes", "library", "press"]}
    extra.write("models", MODEL.format(name="Thing"))
    extra.migrate()
    extra.project.shoal_command("migrate", PYTHONPATH=str(extra.directory), **EXTRA)
    extra.write("models", MODEL.format(name="Item"))
    extra.write("migrations/0002_rename", RENAMED)
    if command == "shoal migrate":
        extra.migrate()
    else:
        for alias in ("extra", "draft"):
            argv = ("migrate", "--database", alias)
            extra.project.manage(*argv, PYTHONPATH=str(extra.directory), **EXTRA)
    with contextlib.closing(sqlite3.connect(extra.directory / "draft.sqlite3")) as file:
        found = file.execute(
            "SELECT model FROM django_content_type WHERE app_label = 'extra'"
        ).fetchall()
    assert found == [("item",)]
