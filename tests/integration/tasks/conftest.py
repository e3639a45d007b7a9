"""Replicas that stand still."""

from collections.abc import Iterator

import pytest

from shoal.lab import Lab
from tests.integration.tasks.working import REPLICAS


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """Both replicas show what they show now, until the end of the test."""
    for name in REPLICAS:
        servers[name].wait_until_replayed()
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield
