"""
One unit of work: its name, and which of its servers decides.

Takes each server as it joins. MariaDB and MySQL have to hear the name then, and with it
who will decide; PostgreSQL hears it when it prepares.
"""

import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Any

from shoal.topology import get_topology
from shoal.transactions.decisions import identity_of
from shoal.transactions.naming import BranchName, shortened
from shoal.transactions.parts import Part
from shoal.types import Alias


class Unit:
    def __init__(self, *, last: Callable[[], Any] | None = None) -> None:
        self._last = last
        """Joins the server that cannot prepare, where there may be one, to decide."""
        self._decides: Any = None
        self._named = 0

    @cached_property
    def id(self) -> str:
        return uuid.uuid4().hex

    @property
    def home(self) -> Alias | None:
        """Who has to decide: it was begun so, or the names of others say so."""
        return self._decides.alias if self._decides is not None else None

    def begin(self, part: Part) -> None:
        """Let a server begin that has just joined."""
        if not (part.is_named_first and part.is_outermost and part.can_prepare):
            return
        if self._decides is None:
            if self._last is None:
                # It need not prepare, and an ordinary transaction it is.
                self._decides = part.connection
                if get_topology().sharded_cluster_of(part.alias) is not None:
                    # It may be at work, in a thread, when the next shard joins.
                    identity_of(part.connection)
                return
            self._decides = self._last()
        part.begin(self.name_of_next(self._decides, identity_of(self._decides)))

    def name_of_next(self, home: Any, identity: str) -> BranchName:
        """Return a name that no other branch of the unit has, on whatever server."""
        self._named += 1
        return BranchName(
            unit=self.id,
            number=self._named,
            identity=identity,
            home=shortened(home.alias),
        )
