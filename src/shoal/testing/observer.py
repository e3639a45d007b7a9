"""Tells positions, transactions and health of replicas that are mirrors, in tests."""

import itertools
from collections import defaultdict
from collections.abc import Container, Mapping
from typing import Any

from shoal.routing import writes
from shoal.routing.context import current_unit
from shoal.routing.health import Health
from shoal.topology import Cluster, Position, get_topology
from shoal.types import Alias

HISTORY = "mirror"


class MirrorObserver:
    """
    Mirrors are always well, and show everything, but for those that are held.

    Positions are counted here, since what a test writes in a transaction never gets
    into any log.
    """

    def __init__(self) -> None:
        self._count = itertools.count(1)
        self._held: dict[Alias, int] = {}
        self.health: Mapping[Alias, Health] = defaultdict(_well)

    def hold(self, edition: Cluster) -> None:
        """
        Let the edition's replicas show nothing that is written from now on.

        What the current unit of work has written by now, they show: in a `TestCase`
        too, whose transaction is overlooked until `release`.
        """
        self._held |= dict.fromkeys(edition.aliases, 0)
        writes.learn(current_unit())
        self._held |= dict.fromkeys(edition.aliases, next(self._count))

    def release(self, edition: Cluster) -> None:
        for alias in edition.aliases:
            self._held.pop(alias, None)

    def is_held(self, alias: Alias) -> bool:
        return alias in self._held

    @property
    def serving(self) -> Container[Alias]:
        return get_topology().by_alias

    def wake(self) -> None:
        pass

    def is_usable(self, alias: Alias) -> bool:
        return alias in self.serving

    def has_reached(self, alias: Alias, position: Position) -> bool:
        if alias not in self._held:
            return True
        return _position(self._held[alias]).reaches(position)

    def primary_since(self, edition: Cluster, moment: float) -> Position | None:
        return _position(next(self._count))

    def meet(self, edition: Cluster, *, within: float) -> None:
        pass

    def ask(self, edition: Cluster, position: Position, *, within: float) -> bool:
        return any(self.has_reached(r.alias, position) for r in edition.replicas)

    wait = ask

    def look_again(self, alias: Alias, *, within: float) -> bool:
        return False

    def expect(self, edition: Cluster, position: Position) -> None:
        pass

    def suspect(self, alias: Alias, error: str) -> None:
        pass

    def look(self, connection: Any) -> Position | None:
        return _position(next(self._count))

    def in_transaction(self, connection: Any) -> bool:
        """Overlook the transaction of a `TestCase` on a primary whose replicas lag."""
        if connection.in_atomic_block and connection.alias in self._held:
            return not all(block._from_testcase for block in connection.atomic_blocks)
        return bool(
            connection.in_atomic_block
            or (connection.connection is not None and not connection.autocommit)
        )


def _position(count: int) -> Position:
    return Position(HISTORY, {HISTORY: ((0, count),)})


def _well() -> Health:
    return Health(alias="", state="up")
