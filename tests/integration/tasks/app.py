"""A Celery app and its tasks, for a worker in this process or in one of its own."""

import os
import threading
from pathlib import Path
from typing import Any

from celery import Celery
from django.db import transaction

from shoal.routing import pinned, unit_of_work
from shoal.testing import served_by
from tests.project.catalog.models import Product

app: Any = Celery("tests", set_as_current=False)
app.conf.update(
    broker_url="memory://",
    broker_transport_options={"polling_interval": 0.01},
    broker_connection_retry_on_startup=True,
    result_backend="cache+memory://",
    result_chord_retry_interval=0.1,
    worker_hijack_root_logger=False,
)


def by_files(folder: Path) -> dict[str, Any]:
    """Return the options for messages and results that are files."""
    for name in ("messages", "control", "results"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "broker_url": "filesystem://",
        "broker_transport": "tests.integration.tasks.transport:Transport",
        "broker_transport_options": {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.02,
        },
        "result_backend": f"file://{folder / 'results'}",
    }


gate = threading.Event()


@app.task
def nothing() -> None:
    pass


@app.task
def wait_at_the_gate() -> bool:
    return gate.wait(timeout=60)


@app.task
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@app.task
def server() -> str:
    return served_by(Product)


@app.task
def parent() -> int:
    return os.getppid()


@app.task
def create(name: str) -> None:
    Product.objects.create(name=name)


@app.task
def create_and_send(name: str) -> Any:
    Product.objects.create(name=name)
    return names.delay().id


@app.task
def leave_a_pin() -> None:
    pinned("catalog").__enter__()
    raise RuntimeError


@app.task(bind=True, default_retry_delay=0)
def create_and_retry(self: Any, name: str) -> list[str]:
    if not self.request.retries:
        with transaction.atomic(using="catalog"):
            Product.objects.create(name=name)
        raise self.retry()
    return sorted(Product.objects.values_list("name", flat=True))


@app.task(bind=True, default_retry_delay=0)
def retry_elsewhere(self: Any) -> list[str]:
    if not self.request.retries:
        with unit_of_work():
            raise self.retry()
    return sorted(Product.objects.values_list("name", flat=True))
