"""A task of Django's own framework takes the token as an argument."""

import threading
from typing import Any

import pytest
from django.db import connections

from shoal.routing import export_token, unit_of_work, with_token
from shoal.testing import served_by
from tests.project.catalog.models import Product
from tests.replicas import REPLICAS

django_tasks = pytest.importorskip("django.tasks", reason="It came with Django 6.0.")
immediate = pytest.importorskip("django.tasks.backends.immediate")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


class InAThread(immediate.ImmediateBackend):  # type: ignore[misc, name-defined]
    """Runs each task in a thread of its own, as a worker does, and waits for it."""

    def _execute_task(self, task_result: Any) -> None:
        thread = threading.Thread(target=self._run, args=[task_result])
        thread.start()
        thread.join()

    def _run(self, task_result: Any) -> None:
        try:
            super()._execute_task(task_result)
        finally:
            connections.close_all()


@pytest.fixture
def elsewhere(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{__name__}.{InAThread.__name__}"}}


@django_tasks.task
def names_behind(token: str) -> list[str]:
    with with_token(token):
        return sorted(Product.objects.values_list("name", flat=True))


@django_tasks.task
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


@django_tasks.task
def server() -> str:
    return served_by(Product)


def test_a_task_behind_a_token_reads_what_was_written(
    paused: None, elsewhere: None
) -> None:
    Product.objects.create(name="kettle")
    assert names_behind.enqueue(export_token()).return_value == ["kettle"]


def test_a_task_without_a_token_reads_a_replica(paused: None, elsewhere: None) -> None:
    Product.objects.create(name="kettle")
    assert names_behind.enqueue("").return_value == []
    assert names.enqueue().return_value == []
    assert server.enqueue().return_value in REPLICAS


def test_an_immediate_task_is_a_part_of_what_calls_it(paused: None) -> None:
    Product.objects.create(name="kettle")
    assert names.enqueue().return_value == ["kettle"]
    with unit_of_work():
        assert names.enqueue().return_value == []
