"""A worker with processes of its own, forked after the first read."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from celery import Celery, chord
from django.conf import settings
from django.db import connections

import shoal.contrib.celery  # noqa: F401  It connects Celery's signals.
from shoal.lab import Lab
from shoal.routing import unit_of_work
from tests.integration.tasks import app as tasks
from tests.integration.tasks.working import result
from tests.project.catalog.models import Product
from tests.replicas import REPLICAS

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ["-m", "celery", "-A", "tests.integration.tasks.process", "worker"]
OPTIONS = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
APART = ["--without-gossip", "--without-mingle", "--without-heartbeat"]

Both: TypeAlias = tuple[Celery, subprocess.Popen[bytes]]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def processes(transactional_db: None, tmp_path: Path) -> Iterator[Both]:
    """What sends, and a worker that uses the databases of the tests."""
    sender = Celery("sender", set_as_current=False)
    sender.conf.update(tasks.by_files(tmp_path), result_chord_retry_interval=0.1)
    with sender.connection_for_write() as connection:
        # Now, since two processes may not do it at once.
        sender.amqp.queues["celery"](connection).declare()
    environment = {
        **os.environ,
        "C_FORCE_ROOT": "1",
        "DATABASES": json.dumps(databases()),
        "DJANGO_SETTINGS_MODULE": "tests.integration.tasks.settings",
        "TASKS_FOLDER": str(tmp_path),
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, *OPTIONS, *APART],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield sender, process
        assert process.poll() is None, (tmp_path / "log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        sender.close()


def databases() -> dict[str, Any]:
    """Return where the databases of the tests are, by alias."""
    keys = ("ENGINE", "NAME", "HOST", "PORT", "USER", "PASSWORD")
    return {
        alias: {key: connections[alias].settings_dict[key] for key in keys}
        for alias in settings.DATABASES
        if settings.DATABASES[alias].get("NAME")
    } | {"default": {}}


def test_processes_read_what_was_written(
    servers: Lab, processes: Both, paused: None
) -> None:
    sender, worker = processes

    def named(task: Any, *args: Any) -> Any:
        return sender.signature(task.name, args, immutable=True)

    Product.objects.create(name="kettle")
    bound = [named(tasks.names).delay() for _ in range(10)]
    with unit_of_work():
        free = [named(tasks.names).delay() for _ in range(10)]
        others = [named(tasks.server).delay() for _ in range(10)]
    assert [result(one) for one in bound] == [["kettle"]] * 10
    assert [result(one) for one in free] == [[]] * 10
    assert {result(one) for one in others} <= set(REPLICAS)
    with unit_of_work():
        first = [named(tasks.create, "lamp"), named(tasks.server)]
        last = chord(first, app=sender)(named(tasks.names))
        parent = result(named(tasks.parent).delay())
    assert result(last) == ["kettle", "lamp"]
    assert parent == worker.pid, "its process was forked from that one"
