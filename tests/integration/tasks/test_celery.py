"""A task of Celery reads what its sender wrote, whatever the replicas are doing."""

import importlib
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from celery import chord, signals
from celery.app.trace import trace_task
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path

import shoal.contrib.celery  # noqa: F401  It connects Celery's signals.
from shoal.errors import SettingsError
from shoal.routing import choices, export_token, unit_of_work
from shoal.testing import served_by
from tests.integration.tasks import app as tasks
from tests.integration.tasks.working import result, working
from tests.project.catalog.models import Product
from tests.project.urls import urlpatterns as views_of_the_project
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
    pytest.mark.usefixtures("worker"),
]


@pytest.fixture(scope="module")
def worker() -> Iterator[None]:
    """One task after another, each in the same thread."""
    with working("solo"):
        yield


def test_a_task_never_reads_older_data(paused: None) -> None:
    Product.objects.create(name="kettle")
    for _ in range(10):
        assert result(tasks.names.delay()) == ["kettle"]
        assert result(tasks.server.delay()) == "catalog"


def test_a_task_without_a_token_reads_a_replica(paused: None) -> None:
    Product.objects.create(name="kettle")
    with unit_of_work():
        for _ in range(10):
            assert result(tasks.names.delay()) == []
            assert result(tasks.server.delay()) in REPLICAS


def test_a_replica_that_has_caught_up_serves_the_task(servers: Any) -> None:
    Product.objects.create(name="kettle")
    caught_up(servers)
    assert result(tasks.server.delay()) in REPLICAS


def send(request: HttpRequest) -> JsonResponse:
    return JsonResponse(result(tasks.names.delay()), safe=False)


def test_a_request_hands_its_token_to_its_task(
    paused: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = ModuleType("urls_of_tasks")
    urls.urlpatterns = [*views_of_the_project, path("send/", send)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, urls.__name__, urls)
    settings.ROOT_URLCONF = urls.__name__
    visitor = Client()
    visitor.post("/products/", {"name": "kettle"})
    assert visitor.post("/send/").json() == ["kettle"]
    assert Client().post("/send/").json() == []


def test_a_task_sends_on_what_it_wrote(paused: None) -> None:
    sent = result(tasks.create_and_send.delay("kettle"))
    assert result(tasks.app.AsyncResult(sent)) == ["kettle"]


def test_a_chain_hands_on_what_its_tasks_wrote(paused: None) -> None:
    chain = tasks.create.si("kettle") | tasks.server.si() | tasks.names.si()
    assert result(chain.delay()) == ["kettle"]


def test_what_a_link_calls_reads_what_its_task_wrote(paused: None) -> None:
    link = tasks.names.si().set(task_id="linked")
    link.app.backend.forget("linked")
    tasks.create.apply_async(("kettle",), link=link)
    assert result(tasks.app.AsyncResult("linked")) == ["kettle"]


def test_the_last_of_a_chord_reads_what_all_others_wrote(paused: None) -> None:
    """The one that is done last, and sends it, has written nothing itself."""
    sent = chord([tasks.create.si("kettle"), tasks.server.si()])(tasks.names.si())
    assert result(sent) == ["kettle"]


def test_a_retry_reads_what_was_written_before(paused: None) -> None:
    assert result(tasks.create_and_retry.delay("kettle")) == ["kettle"]


def test_a_retry_keeps_the_token_wherever_it_is_called(paused: None) -> None:
    Product.objects.create(name="kettle")
    assert result(tasks.retry_elsewhere.delay()) == ["kettle"]


def test_a_task_sent_on_commit(paused: None) -> None:
    sent: list[Any] = []
    with transaction.atomic(using="catalog"):
        transaction.on_commit(lambda: sent.append(tasks.names.delay()), using="catalog")
        Product.objects.create(name="kettle")
    assert result(sent[0]) == ["kettle"]


def test_a_task_sent_inside_a_transaction_and_run_after_it(paused: None) -> None:
    tasks.gate.clear()
    tasks.wait_at_the_gate.delay()
    with transaction.atomic(using="catalog"):
        sent = tasks.names.delay()
        Product.objects.create(name="kettle")
    tasks.gate.set()
    assert result(sent) == ["kettle"]


def test_a_task_sent_from_a_coroutine(paused: None) -> None:
    async def flow() -> Any:
        await Product.objects.acreate(name="kettle")
        return tasks.names.delay()

    assert result(async_to_sync(flow)()) == ["kettle"]


def test_an_eager_task_is_a_part_of_what_calls_it(paused: None) -> None:
    Product.objects.create(name="kettle")
    assert tasks.names.apply().get() == ["kettle"]
    with unit_of_work():
        assert tasks.names.apply().get() == []
        tasks.create.apply(("lamp",))
        assert served_by(Product) == "catalog"
        assert choices()["catalog"].reason == "own write"


def test_a_task_in_a_transaction_runs_in_it_when_eager(paused: None) -> None:
    with transaction.atomic(using="catalog"):
        Product.objects.create(name="kettle")
        assert tasks.names.apply().get() == ["kettle"]


def test_nothing_is_left_of_a_task(paused: None) -> None:
    with pytest.raises(RuntimeError):
        result(tasks.leave_a_pin.delay())
    assert result(tasks.server.delay()) in REPLICAS


def test_a_bad_token_loses_no_task(
    paused: None, caplog: pytest.LogCaptureFixture
) -> None:
    def forge(headers: dict[str, Any], **kwargs: Any) -> None:
        headers["shoal_token"] = "forged"

    signals.before_task_publish.connect(forge)
    try:
        with caplog.at_level(logging.WARNING, "shoal.contrib"), unit_of_work():
            assert result(tasks.server.delay()) == "catalog"
    finally:
        signals.before_task_publish.disconnect(forge)
    (record,) = [r for r in caplog.records if r.name == "shoal.contrib"]
    assert vars(record)["event"] == "task_token_refused"


@pytest.mark.parametrize("token", ["forged", 5, "x" * 100_000])
def test_a_bad_token_in_the_headers_is_replaced(paused: None, token: Any) -> None:
    with unit_of_work():
        sent = tasks.server.apply_async(headers={"shoal_token": token})
        assert result(sent) in REPLICAS


def traced(task: Any, request: dict[str, Any]) -> Any:
    """Run a task as a worker does, of a message that no broker here would hand out."""
    made = {"id": "1", "task": task.name, "delivery_info": {}, **request}
    try:
        return trace_task(task, "1", (), {}, made, app=tasks.app).retval
    finally:
        tasks.app.backend.forget("1")


def test_a_message_handed_out_again_reads_what_was_done_at_first(paused: None) -> None:
    with unit_of_work():
        assert traced(tasks.server, {}) in REPLICAS
        again = {"delivery_info": {"redelivered": True}}
        assert traced(tasks.server, again) == "catalog"
        assert served_by(Product) in REPLICAS


def test_messages_of_the_first_protocol(paused: None) -> None:
    Product.objects.create(name="kettle")
    message = {"headers": {"shoal_token": export_token()}}
    with unit_of_work():
        assert traced(tasks.names, message) == ["kettle"]


def test_it_says_so_where_celery_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    monkeypatch.delitem(sys.modules, "shoal.contrib.celery")
    with pytest.raises(SettingsError) as caught:
        importlib.import_module("shoal.contrib.celery")
    assert str(caught.value) == (
        "'shoal.contrib.celery' needs Celery, which is not installed.\n"
        "Hint: pip install 'django-shoal[celery]', or take the app out of "
        "INSTALLED_APPS."
    )
