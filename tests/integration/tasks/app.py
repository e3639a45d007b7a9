"""A Celery app and its tasks, for a worker in this process or in one of its own."""

import os
import threading
from pathlib import Path
from typing import Any

from celery import Celery, signals
from django.db import transaction

from shoal.routing import pinned, unit_of_work
from shoal.testing import served_by
from tests.project.catalog.models import Product

FOLDER = os.environ.get("TASKS_FOLDER")
"""Where a worker of its own finds its messages."""

app: Any = Celery("tests", set_as_current=False)
app.conf.update(
    broker_url="memory://",
    broker_transport_options={"polling_interval": 0.01},
    broker_connection_retry_on_startup=True,
    result_backend="cache+memory://",
    result_chord_retry_interval=0.1,
    worker_hijack_root_logger=False,
)


def use_folder(folder: Path) -> None:
    """Exchange messages and results by files."""
    app.conf.update(
        broker_url="filesystem://",
        broker_transport_options={
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.05,
        },
        result_backend=f"file://{folder / 'results'}",
    )
    for name in ("messages", "control", "results"):
        (folder / name).mkdir(exist_ok=True)


if FOLDER:
    use_folder(Path(FOLDER))

    @signals.worker_init.connect(weak=False)
    def read_before_the_fork(**kwargs: Any) -> None:
        """The watch and a connection are there when the pool's processes begin."""
        Product.objects.count()


gate = threading.Event()


@app.task
def wait_at_the_gate() -> bool:
    return gate.wait(timeout=20)


@app.task
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@app.task
def server() -> str:
    return served_by(Product)


@app.task
def process() -> int:
    return os.getpid()


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
