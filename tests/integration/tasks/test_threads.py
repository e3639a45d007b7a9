"""Tasks that run at once in threads of one worker are units of work of their own."""

from collections.abc import Iterator

import pytest

import shoal.contrib.celery  # noqa: F401  It connects Celery's signals.
from shoal.routing import unit_of_work
from tests.integration.tasks import app as tasks
from tests.integration.tasks.working import result, working
from tests.project.catalog.models import Product

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def worker() -> Iterator[None]:
    with working("threads", concurrency=2):
        yield


def test_each_task_has_its_own_token(worker: None, paused: None) -> None:
    Product.objects.create(name="kettle")
    bound, free = [], []
    for _ in range(10):
        bound.append(tasks.names.delay())
        with unit_of_work():
            free.append(tasks.names.delay())
    assert [result(one) for one in bound] == [["kettle"]] * 10
    assert [result(one) for one in free] == [[]] * 10
