"""`manage.py test` on a sharded cluster whose control database is one of the others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
SQLITE = {"ENGINE": "django.db.backends.sqlite3"}
DATABASES = {
    "default": {},
    "things": {"ENGINE": "shoal.backends.sharded"},
    "things_0": {**SQLITE, "NAME": "0.db"},
    "things_1": {**SQLITE, "NAME": "1.db"},
    "people": {**SQLITE, "NAME": "people.db"},
}
SHOAL = {
    "CLUSTERS": {
        "things": {"APPS": ["things"], "SHARDS": ["things_0", "things_1"]},
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
TESTS = """
from django.db import connections
from django.test import TestCase
from shoal.transactions import atomic
from things.models import Thing

class Things(TestCase):
    databases = {"things"}

    def test_ids_come_from_the_control_database(self):
        ids = {Thing.objects.create(name="x").pk for _ in range(9)}
        self.assertEqual(Thing.objects.count(), len(ids))

class Both(Things):
    databases = {"things", "people"}

    def test_the_control_database_has_the_map(self):
        with connections["people"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM shoal_range")
            self.assertEqual(cursor.fetchone()[0], 2)

class People(TestCase):
    databases = {"people"}

    def test_a_unit_may_name_what_it_does_not_need(self):
        connections["things"].close()
        with atomic(), connections["people"].cursor() as cursor:
            cursor.execute("SELECT 1")
        with self.assertRaisesMessage(AssertionError, "not allowed"), atomic():
            Thing.objects.count()
"""


@pytest.mark.parametrize("which", ["Things", "Both", "People"])
def test_the_control_database_is_made_and_dropped_once(
    tmp_path: Path, which: str
) -> None:
    app = tmp_path / "things"
    app.mkdir()
    for name, text in [("__init__", ""), ("models", MODELS), ("tests", TESTS)]:
        (app / f"{name}.py").write_text(text)
    (tmp_path / "settings.py").write_text(SETTINGS)
    label = f"things.tests.{which}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *f"django test {label}".split()],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "."},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for verb in ("Creating", "Destroying"):
        said = re.findall(
            rf"^{verb} test database for alias 'people'",
            done.stderr + done.stdout,
            re.M,
        )
        assert len(said) == 1, done.stderr
