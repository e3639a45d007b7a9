"""Replicas that stand still."""

from collections.abc import Iterator

import pytest

from shoal.lab import Lab
from tests.replicas import caught_up


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """Both replicas show what they show now, until the end of the test."""
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield
