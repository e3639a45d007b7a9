"""What Prometheus and OpenTelemetry are told of real servers and real reads."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.test import Client, RequestFactory, modify_settings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from prometheus_client import REGISTRY, CollectorRegistry

from shoal.contrib.opentelemetry.spans import annotate
from shoal.contrib.prometheus import Collector, metrics
from shoal.contrib.prometheus.choices import count
from shoal.lab import Lab
from shoal.routing import pinned, unit_of_work
from shoal.routing.listeners import forget, listen, listeners
from tests.project.catalog.models import Product
from tests.project.feedback.models import Review
from tests.waiting import until

REPLICAS = ("catalog_r1", "catalog_r2")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def scraped(servers: Lab) -> Callable[..., float | None]:
    """What a scrape says of one metric of the cluster `catalog`."""
    registry = CollectorRegistry()
    registry.register(Collector())

    def scraped(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"cluster": "catalog", **labels})

    for alias in REPLICAS:
        servers[alias].wait_until_replayed()
    until(lambda: _are_up(registry))
    return scraped


def _are_up(registry: CollectorRegistry) -> bool:
    """Say whether all servers have answered; a scrape does not wait long for them."""
    up = {
        sample.labels["alias"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "shoal_server_up" and sample.value == 1
    }
    return up.issuperset({"catalog", *REPLICAS})


@pytest.fixture
def counted() -> Iterator[Callable[[str, str], float]]:
    """How often a member was chosen for a reason since the test began."""
    listen(count)

    def value(alias: str, reason: str) -> float:
        labels = {"cluster": "catalog", "alias": alias, "reason": reason}
        return REGISTRY.get_sample_value("shoal_choices_total", labels) or 0.0

    before: dict[tuple[str, str], float] = {}
    for alias in ("catalog", *REPLICAS):
        for reason in ("any replica", "own write", "pinned", "caught up"):
            before[alias, reason] = value(alias, reason)
    yield lambda alias, reason: value(alias, reason) - before[alias, reason]
    forget(count)


def test_servers_that_are_well(scraped: Callable[..., float | None]) -> None:
    for alias in REPLICAS:
        assert scraped("shoal_server_up", alias=alias, listed_as="replica") == 1
        until(lambda a=alias: scraped("shoal_replica_lag_seconds", alias=a) == 0)
        until(lambda a=alias: scraped("shoal_replica_lag_bytes", alias=a) == 0)
        assert scraped("shoal_replica_lag_transactions", alias=alias) is None
        assert scraped("shoal_server_state", alias=alias, state="up") == 1
        assert scraped("shoal_server_state", alias=alias, state="down") == 0
    primary = {"alias": "catalog", "listed_as": "primary"}
    assert scraped("shoal_server_up", **primary) == 1
    assert scraped("shoal_server_latency_seconds", **primary) > 0  # type: ignore[operator]
    assert scraped("shoal_replica_lag_seconds", alias="catalog") is None


def test_a_paused_replica(servers: Lab, scraped: Callable[..., float | None]) -> None:
    with servers["catalog_r1"].replay_paused():
        Product.objects.create(name="kettle")
        until(lambda: scraped("shoal_replica_lag_bytes", alias="catalog_r1"))
        until(lambda: scraped("shoal_replica_lag_seconds", alias="catalog_r1"))
        until(lambda: scraped("shoal_replica_lag_bytes", alias="catalog_r2") == 0)
    until(lambda: scraped("shoal_replica_lag_seconds", alias="catalog_r1") == 0)


@pytest.mark.alone
def test_a_dead_replica(servers: Lab, scraped: Callable[..., float | None]) -> None:
    r1 = {"alias": "catalog_r1", "listed_as": "replica"}
    assert scraped("shoal_server_up", **r1) == 1
    connections["catalog_r1"].close()
    servers["catalog_r1"].stop()
    try:
        until(lambda: scraped("shoal_server_up", **r1) == 0)
        assert scraped("shoal_server_state", alias="catalog_r1", state="down") == 1
        assert scraped("shoal_replica_lag_seconds", alias="catalog_r1") is None
        began = time.monotonic()
        assert scraped("shoal_server_up", alias="catalog", listed_as="primary") == 1
        assert time.monotonic() - began < 0.5
    finally:
        servers["catalog_r1"].start()
        until(servers["catalog_r1"].follows, 20)
    until(lambda: scraped("shoal_server_up", **r1) == 1)


def test_a_unit_of_work_counts_once_for_each_choice(
    servers: Lab, counted: Callable[[str, str], float]
) -> None:
    for _ in range(10):
        with unit_of_work():
            for _ in range(5):
                Product.objects.count()
            Review.objects.count()
    assert sum(counted(alias, "any replica") for alias in REPLICAS) == 10
    with unit_of_work():
        Product.objects.create(name="kettle")
        Product.objects.count()
        Product.objects.count()
    assert counted("catalog", "own write") == 1
    with pinned("catalog"):
        Product.objects.count()
    assert counted("catalog", "pinned") == 1


def test_the_app_is_all_that_is_needed(servers: Lab) -> None:
    apps = ["shoal.contrib.prometheus", "shoal.contrib.opentelemetry"]
    assert count not in listeners
    try:
        for _ in range(2):
            with modify_settings(INSTALLED_APPS={"append": apps}):
                assert (listeners.count(count), listeners.count(annotate)) == (1, 1)
                Client().get("/products/")
        until(lambda: _are_up(REGISTRY))
        response = metrics(RequestFactory().get("/metrics"))
    finally:
        forget(count)
        forget(annotate)
    assert response.headers["Content-Type"].startswith("text/plain")
    text = response.content.decode()
    assert "# TYPE shoal_choices_total counter" in text
    assert (
        'shoal_server_up{alias="catalog",cluster="catalog",listed_as="primary"} 1'
        in text
    )
    assert "# TYPE shoal_replica_lag_seconds gauge" in text
    assert "python_info" in text


MULTIPROCESS = """
import json, os, sys
from django.conf import settings
settings.configure(
    DATABASES=json.loads(sys.argv[1]),
    DATABASE_ROUTERS=["shoal.routing.Router"],
    INSTALLED_APPS=["shoal", "shoal.contrib.prometheus", "tests.project.catalog"],
    SHOAL={"CLUSTERS": {"catalog": {
        "APPS": ["catalog"], "REPLICAS": ["catalog_r1", "catalog_r2"]}}},
    ALLOWED_HOSTS=["*"],
)
import django
django.setup()
from django.db import connections
from django.test import RequestFactory
from shoal.contrib.prometheus import metrics
from shoal.routing import unit_of_work
from shoal.routing.health import get_watch
from tests.project.catalog.models import Product
from tests.waiting import until

if os.fork() == 0:
    for _ in range(3):
        with unit_of_work():
            Product.objects.all().db
    os._exit(0)
assert os.wait()[1] == 0
with unit_of_work():
    Product.objects.all().db
watch = get_watch()
for alias in watch.health:
    while watch.health[alias].state == "unknown":
        watch.look_again(alias, within=1)
print(metrics(RequestFactory().get("/metrics")).content.decode())
"""


def test_several_processes(servers: Lab, tmp_path: Path) -> None:
    databases = {"default": {}, **servers.databases}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MULTIPROCESS, json.dumps(databases)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    counts = [float(value) for name, _, value in lines if "_choices_total{" in name]
    assert sum(counts) == 4
    up = {name: value for name, _, value in lines if name.startswith("shoal_server_up")}
    assert set(up.values()) == {"1.0"}
    assert len(up) == 3


@pytest.fixture
def traced() -> Iterator[tuple[Tracer, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    listen(annotate)
    yield provider.get_tracer("tests"), exporter
    forget(annotate)
    provider.shutdown()


def test_a_span_says_where_its_reads_went(
    servers: Lab, traced: tuple[Tracer, InMemorySpanExporter]
) -> None:
    tracer, exporter = traced
    with unit_of_work(), tracer.start_as_current_span("request"):
        chosen = Product.objects.all().db
        Product.objects.create(name="kettle")
        Product.objects.count()
        Product.objects.count()
    with unit_of_work():
        Product.objects.count()
    (span,) = exporter.get_finished_spans()
    latest = {
        "shoal.cluster": "catalog",
        "shoal.alias": "catalog",
        "shoal.reason": "own write",
    }
    assert dict(span.attributes or {}) == latest
    first, second = span.events
    assert first.name == second.name == "shoal.choice"
    assert dict(first.attributes or {}) == {
        "shoal.cluster": "catalog",
        "shoal.alias": chosen,
        "shoal.reason": "any replica",
    }
    assert dict(second.attributes or {}) == latest


def test_without_a_span_nothing_is_done(
    servers: Lab, traced: tuple[Tracer, InMemorySpanExporter]
) -> None:
    with unit_of_work():
        assert Product.objects.count() == 0
    assert traced[1].get_finished_spans() == ()
