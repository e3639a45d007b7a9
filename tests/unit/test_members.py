"""Who is drawn among replicas that are all fresh enough."""

import itertools
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from shoal.routing.health import Health
from shoal.routing.members import pick
from shoal.topology import Replica

STEPS = [(number + 0.5) / 12 for number in range(12)]


def watch(**latencies: float) -> Any:
    health = {a: Health(alias=a, latency=seconds) for a, seconds in latencies.items()}
    return SimpleNamespace(health=health)


def drawing(*draws: float) -> Callable[[], float]:
    return iter(draws).__next__


def shares(replicas: list[Replica], **latencies: float) -> Counter[str | None]:
    """Count who is picked over all pairs of evenly spread draws."""
    return Counter(
        pick(replicas, watch(**latencies), drawing(*pair))
        for pair in itertools.product(STEPS, STEPS)
    )


def replicas(**weights: float) -> list[Replica]:
    return [Replica(alias=alias, weight=weight) for alias, weight in weights.items()]


def test_of_three_the_quicker_of_two_that_are_drawn() -> None:
    found = shares(replicas(a=1, b=1, c=1), a=0.001, b=0.002, c=0.009)
    assert found["c"] == 0, "it loses against either"
    assert found["a"] == 2 * found["b"], "it wins two pairs of three"


def test_of_two_latency_decides_nothing() -> None:
    found = shares(replicas(a=1, b=1), a=0.001, b=9.0)
    assert found["a"] == found["b"]


def test_equally_quick_ones_share_by_weight() -> None:
    found = shares(replicas(a=4, b=1, c=1), a=0.001, b=0.001, c=0.001)
    assert found["a"] == 4 * found["b"] == 4 * found["c"]


def test_a_replica_without_weight_is_never_drawn() -> None:
    found = shares(replicas(a=0, b=1, c=1), a=0.0001, b=0.001, c=0.002)
    assert found["a"] == 0
    assert found["b"] > found["c"]


def test_nobody_is_there() -> None:
    """No replica must not read as "every replica has caught up" (GitLab 49294)."""
    assert pick([], watch(), drawing(0.5)) is None
    assert pick(replicas(a=0, b=0), watch(a=1.0, b=1.0), drawing(0.5)) is None
