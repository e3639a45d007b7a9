"""`manage.py test` of a project on shards, with every option that changes databases."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shoal.lab import Lab, LabServer, Postgres, lab_fixture

server = lab_fixture(Postgres("server"), scope="module")

SINGLE = ("things_0", "things_1", "things_2", "people")
SETTINGS = """
import json, pathlib
DATABASES = {
    "default": {},
    "things": {"ENGINE": "shoal.backends.sharded"},
    **json.loads(pathlib.Path("databases.json").read_text()),
}
SHOAL = {
    "CLUSTERS": {
        "things": {"APPS": ["things"], "SHARDS": ["things_0", "things_1", "things_2"]},
        "people": {},
    },
    "CONTROL": "people",
}
INSTALLED_APPS = ["shoal", "things"]
DATABASE_ROUTERS = ["shoal.routing.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""
MODELS = """
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=9)
"""
MIGRATION = """
from django.db import migrations, models

def add(apps, schema_editor):
    Thing = apps.get_model("things", "Thing")
    rows = Thing.objects.using(schema_editor.connection.alias)
    for number in range(6):
        rows.create(name=f"first {number}")

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Thing", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=9)),
        ]),
        migrations.RunPython(add, migrations.RunPython.noop),
    ]
"""
FIXTURE = [
    {"model": "things.thing", "pk": (n << 12) + n * 600, "fields": {"name": "fixed"}}
    for n in range(101, 107)
]
TESTS = """
from django.test import TestCase, TransactionTestCase
from things.models import Thing

SHARDS = ["things_0", "things_1", "things_2"]

def on_shards():
    return [Thing.objects.using(shard).count() for shard in SHARDS]

class Rolled:
    fixtures = ["fixed"]
    databases = {"things"}

    def check(self):
        self.assertEqual(Thing.objects.filter(name__startswith="first").count(), 6)
        self.assertEqual(Thing.objects.filter(name="fixed").count(), 6)
        self.assertEqual(sum(on_shards()), 12)
        self.assertGreater(sum(1 for count in on_shards() if count), 1)
        ids = {Thing.objects.create(name="new").pk for _ in range(9)}
        self.assertEqual(Thing.objects.count(), 12 + len(ids))
        Thing.objects.all().delete()
        self.assertEqual(on_shards(), [0, 0, 0])

    def test_one(self):
        self.check()

    def test_two(self):
        self.check()

class InTransactions(Rolled, TestCase):
    pass

class Flushed(Rolled, TransactionTestCase):
    serialized_rollback = True

class FlushedToo(Flushed):
    pass
"""
ON_EVERY_SHARD = """
from django.db import connections

class Tables(TestCase):
    databases = {"things"}

    def test_every_shard_has_the_same(self):
        first, *others = (
            set(connections[shard].introspection.table_names()) for shard in SHARDS
        )
        self.assertIn("shoal_cluster", first)
        self.assertEqual(others, [first, first])
"""
SPAWNED = """
import multiprocessing
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    execute_from_command_line(sys.argv)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    app = tmp_path / "things"
    (app / "migrations").mkdir(parents=True)
    (app / "fixtures").mkdir()
    texts = {"__init__": "", "models": MODELS, "tests": TESTS}
    texts |= {"migrations/__init__": "", "migrations/0001_initial": MIGRATION}
    for name, text in texts.items():
        (app / f"{name}.py").write_text(text)
    (app / "fixtures" / "fixed.json").write_text(json.dumps(FIXTURE))
    (tmp_path / "settings.py").write_text(SETTINGS)
    return tmp_path


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: Any, project: Path) -> None:
    if request.param == "sqlite":
        engine = "django.db.backends.sqlite3"
        made = {
            alias: {
                "ENGINE": engine,
                "NAME": f"{alias}.db",
                "TEST": {"NAME": f"test_{alias}.db"},
            }
            for alias in SINGLE
        }
    else:
        lab: Lab = request.getfixturevalue("server")
        there: LabServer = lab["server"]
        made = {alias: {**there.alias, "NAME": alias} for alias in SINGLE}
    (project / "databases.json").write_text(json.dumps(made))


def run(project: Path, options: str, program: str = "django") -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            *f"{program} test --noinput {options}".split(),
        ],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "."},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("options", ["", "--parallel 2", "--reverse"])
def test_every_test_finds_what_migrations_have_made(
    project: Path, databases: None, options: str
) -> None:
    assert "Ran 6 tests" in run(project, options)


@pytest.mark.parametrize("control", ["things_0", "things_1"])
def test_any_shard_may_be_the_control_database(
    project: Path, databases: None, control: str
) -> None:
    """Shoal's tables are there before the migrations that make them on every shard."""
    changed = SETTINGS.replace('"CONTROL": "people"', f'"CONTROL": "{control}"')
    (project / "settings.py").write_text(changed)
    with (project / "things" / "tests.py").open("a") as tests:
        tests.write(ON_EVERY_SHARD)
    assert "Ran 7 tests" in run(project, "")


@pytest.mark.parametrize("listed", ['{"things"}', '{"things", "zoo"}'])
@pytest.mark.parametrize("options", ["", "--parallel 2"])
def test_a_shard_of_another_cluster_may_be_the_control_database(
    project: Path, databases: None, options: str, listed: str
) -> None:
    changed = SETTINGS.replace(
        '"people": {}', '"zoo": {"SHARDS": ["things_2", "people"]}'
    )
    changed = changed.replace('"things_1", "things_2"]', '"things_1"]')
    zoo = 'DATABASES["zoo"] = {"ENGINE": "shoal.backends.sharded"}\n'
    (project / "settings.py").write_text(changed + zoo)
    tests = TESTS.replace(', "things_2"]', "]").replace("[0, 0, 0]", "[0, 0]")
    tests = tests.replace('{"things"}', listed)
    (project / "things" / "tests.py").write_text(tests)
    assert "Ran 6 tests" in run(project, options)


@pytest.mark.parametrize("options", ["", "--parallel 2"])
def test_tests_may_list_the_shards_too(
    project: Path, databases: None, options: str
) -> None:
    tests = project / "things" / "tests.py"
    tests.write_text(TESTS.replace('{"things"}', '{"things", *SHARDS, "people"}'))
    assert "Ran 6 tests" in run(project, options)


@pytest.mark.parametrize("options", ["", "--parallel 2"])
def test_databases_may_be_kept(project: Path, databases: None, options: str) -> None:
    """Without tests that flush them: what migrations made would be gone for good."""
    for _ in range(2):
        said = run(project, f"{options} --keepdb things.tests.InTransactions")
        assert "Ran 2 tests" in said
        assert "Preserving test database for alias 'things" in said


@pytest.mark.parametrize("options", ["", "--parallel 2"])
def test_no_database_of_the_project_is_dropped(
    project: Path, server: Lab, options: str
) -> None:
    """With a control database that Django makes a test database of before."""
    there = server["server"]
    names = {alias: f"own_{alias}" for alias in (*SINGLE[:3], "default")}
    for name in names.values():
        there.sql(f"DROP DATABASE IF EXISTS {name}")
        there.sql(f"CREATE DATABASE {name}")
    made = {alias: {**there.alias, "NAME": name} for alias, name in names.items()}
    (project / "databases.json").write_text(json.dumps(made))
    (project / "settings.py").write_text(SETTINGS.replace("people", "default"))
    tests = project / "things" / "tests.py"
    tests.write_text(TESTS.replace('{"things"}', '{"things", "default"}'))
    before = databases_on(there)
    said = run(project, f"{options} -v 2")
    assert databases_on(there) == before
    assert "test_test_" not in said


@pytest.mark.parametrize("listed", ['{"things"}', '{"things", *SHARDS, "people"}'])
def test_processes_that_are_spawned_find_the_test_databases(
    project: Path, server: Lab, listed: str
) -> None:
    """As on macOS. They begin with the settings of the project."""
    there = server["server"]
    names = {alias: f"own_{alias}" for alias in SINGLE}
    for name in names.values():
        there.sql(f"DROP DATABASE IF EXISTS {name}")
        there.sql(f"CREATE DATABASE {name}")
    made = {alias: {**there.alias, "NAME": name} for alias, name in names.items()}
    (project / "databases.json").write_text(json.dumps(made))
    # Django cannot hand over what a test of many aliases rolls back by serializing.
    tests = TESTS.partition("class Flushed(")[0].replace('{"things"}', listed)
    again = "class Again(Rolled, TestCase):\n    pass\n"
    (project / "things" / "tests.py").write_text(tests + again)
    (project / "spawned.py").write_text(SPAWNED)
    assert "Ran 4 tests" in run(project, "--parallel 2", program="spawned")
    for name in names.values():
        with psycopg.connect(
            host=there.alias["HOST"],
            port=there.alias["PORT"],
            user=there.alias["USER"],
            password=there.alias["PASSWORD"],
            dbname=name,
        ) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relname ~ 'shoal|things'"
            )
            assert tables.fetchall() == []


def databases_on(server: LabServer) -> list[str]:
    rows = server.sql("SELECT datname FROM pg_database ORDER BY datname")
    return [str(name) for (name,) in rows]
