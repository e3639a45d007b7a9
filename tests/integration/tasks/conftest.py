"""Replicas that stand still."""

from collections.abc import Iterator

import pytest

from shoal.lab import Lab
from shoal.routing.health import get_watch
from tests.integration.tasks.working import REPLICAS
from tests.waiting import until


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """
    Both replicas show what they show now, until the end of the test.

    They are known to be well. On a busy machine a watch that has just begun may find
    them silent at first, and a task would read from the primary.
    """
    for name in REPLICAS:
        servers[name].wait_until_replayed()
    watch = get_watch()
    watch.wake()
    until(lambda: all(watch.health[name].state == "up" for name in REPLICAS))
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield
