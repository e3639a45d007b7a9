"""Lets a test rely on the replicas of `catalog`: they show all, and routing knows."""

from shoal.lab import Lab
from shoal.routing.health import get_watch
from tests.waiting import until

REPLICAS = ("catalog_r1", "catalog_r2")


def caught_up(servers: Lab) -> None:
    """
    Return when the replicas show what there is, and the watch has seen that they do.

    A watch that first sees the primary after a write takes replicas that never show
    it, since they are paused, for lagging ones: after a second, or at once.
    """
    for alias in REPLICAS:
        servers[alias].wait_until_replayed()
    get_watch().wake()
    until(lambda: all(map(_shows_all, REPLICAS)))


def _shows_all(alias: str) -> bool:
    health = get_watch().health
    primary, replica = health["catalog"], health[alias]
    return (
        primary.state == replica.state == "up"
        and primary.position is not None
        and replica.position is not None
        and replica.position.reaches(primary.position)
    )
