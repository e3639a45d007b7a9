"""One watch for each process: after forks, to the very end, and none before a read."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.health.conftest import Fleet

pytestmark = pytest.mark.shoal(mirror_replicas=False)

SETUP = """
import json, os, sys, threading
from django.conf import settings
import tests.settings as project

for alias, address in json.loads(os.environ["TEST_DATABASES"]).items():
    project.DATABASES[alias].update(address)
import django
django.setup()
from django.db import connections
from shoal.routing import choices, unit_of_work
from shoal.routing.health import get_watch
from tests.project.catalog.models import Product

def threads():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("shoal"))

def read():
    with unit_of_work():
        Product.objects.count()
        return choices()["catalog"].alias

def close():
    for connection in connections.all(initialized_only=True):
        connection.close()
"""


def run(fleet: Fleet, script: str, **more: dict[str, Any]) -> str:
    """Run a script with every warning an error; return what it printed."""
    addresses = {**fleet.lab.databases}
    for alias, options in more.items():
        addresses[alias] = {**addresses[alias], **options}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SETUP + script],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASES": json.dumps(addresses),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_no_thread_before_a_read(fleet: Fleet) -> None:
    run(
        fleet,
        """
from django.core.management import call_command
from django.db import router
from tests.project.feedback.models import *
from django.contrib.auth.models import User
assert threads() == []
call_command("check")
call_command("migrate", "catalog", database="catalog", plan=True, verbosity=0)
assert router.db_for_write(User) == "accounts"
assert router.db_for_read(User) == "accounts"
assert router.db_for_write(Product) == "catalog"
assert threads() == []
read()
assert len(threads()) == 4, threads()
close()
""",
    )


def test_the_end_with_pools(fleet: Fleet) -> None:
    pool = {"OPTIONS": {"pool": True}}
    script = """
read(); close()
for alias in ("catalog_r1", "catalog_r2"):
    connections[alias].close_pool()
"""
    run(fleet, script, catalog_r1=pool, catalog_r2=pool)


def test_a_read_at_the_very_end(fleet: Fleet) -> None:
    """When the interpreter gives no more threads."""
    script = """
import atexit
def last():
    from shoal.routing.health import stop_watching
    stop_watching()
    print(read())
    close()
import threading
threading._register_atexit(lambda: None)
atexit.register(last)
import shoal.routing.health.process as process
atexit.unregister(process.stop_watching)
atexit.register(process.stop_watching)
read()
"""
    run(fleet, script)


def test_the_end_with_a_deaf_replica(fleet: Fleet) -> None:
    with fleet.deaf("catalog_r1"):
        run(
            fleet,
            """
from shoal.routing import pinned
with pinned("catalog"):
    Product.objects.count()
get_watch().wake()
import time
time.sleep(0.1)
close()
""",
        )


FORKS = """
import warnings
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
import time

def meet():
    until = time.monotonic() + 30
    while any(h.state != "up" for h in get_watch().health.values()):
        assert time.monotonic() < until
        time.sleep(0.01)

read(); meet(); close()
before = get_watch()
"""


def test_a_fork(fleet: Fleet) -> None:
    run(
        fleet,
        FORKS
        + """
pid = os.fork()
if not pid:
    assert threads() == [], threads()
    assert get_watch() is not before
    read(); meet(); close()
    assert len(threads()) == 4
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert get_watch() is before
seen = {alias: health.asked_at for alias, health in before.health.items()}
until = time.monotonic() + 30
while any(before.health[alias].asked_at == at for alias, at in seen.items()):
    assert time.monotonic() < until
    time.sleep(0.01)
read(); close()
""",
    )


def test_multiprocessing(fleet: Fleet) -> None:
    run(
        fleet,
        FORKS
        + """
import multiprocessing

def child(results):
    read(); meet(); close()
    results.put(len(threads()))

context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
children = [context.Process(target=child, args=[results]) for _ in range(3)]
for one in children:
    one.start()
for one in children:
    one.join(60)
    assert one.exitcode == 0
assert [results.get() for _ in children] == [4, 4, 4]
assert get_watch() is before
read(); close()
""",
    )
