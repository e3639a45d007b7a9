"""The test cases in a project that has the router alone, and not the app."""

import subprocess
import sys

PROJECT = """
import unittest
import django
from django.conf import settings
sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
settings.configure(
    DATABASES={"default": sqlite}, DATABASE_ROUTERS=["shoal.routing.Router"]
)
django.setup()
from shoal.testing import TestCase, TransactionTestCase

class RolledBack(TestCase):
    def test(self) -> None:
        pass

class Committed(TransactionTestCase):
    def test(self) -> None:
        pass

unittest.main()
"""


def test_they_need_no_app() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROJECT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr
