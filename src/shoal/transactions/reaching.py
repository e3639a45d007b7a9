"""
Takes aliases, opens each of their databases once for a while, remembers who is down.
"""

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from django.db import Error, OperationalError, connections

from shoal.conf import is_configured
from shoal.placement.control import Control, reached
from shoal.topology import get_topology
from shoal.topology.probe.asking import is_missing_file, open_apart
from shoal.transactions import tables
from shoal.transactions.naming import BranchName, shortened
from shoal.types import Alias

T = TypeVar("T")


class Reach:
    """A block, in which databases stay open that were reached once."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._open: dict[Alias, Control] = {}
        self._identities: dict[Alias, str | None] = {}
        self.down: dict[Alias, Exception] = {}
        """Those that could not be reached, and why."""

    def __enter__(self) -> "Reach":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(Error):
            self._stack.close()

    def control(self, alias: Alias) -> Control | None:
        """Return the open database, or `None` if it cannot be reached."""
        if alias in self.down:
            return None
        if alias not in self._open:
            try:
                control = self._stack.enter_context(reached(alias))
                _refuse_replica(control)
                self._open[alias] = control
            except Exception as error:  # A setting can be wrong in any way.
                self.down[alias] = error
                return None
        return self._open[alias]

    def lost(self, alias: Alias, error: Exception) -> None:
        """Ask a database no more that has failed to answer."""
        self._open.pop(alias, None)
        self.down[alias] = error

    def ask(self, alias: Alias, question: Callable[[Control], T]) -> T | None:
        """Return what it answers, or `None` if it cannot be asked, or no more."""
        control = self.control(alias)
        try:
            return question(control) if control is not None else None
        except Error as error:
            self.lost(alias, error)
            return None

    def identity(self, alias: Alias) -> str | None:
        """Return the name of the database, `None` if it has none or is down."""
        if alias not in self._identities:
            self._identities[alias] = self.ask(alias, tables.identity_in)
        return self._identities[alias]

    def home_of(self, name: BranchName) -> Alias | None:
        """Return the alias of the database that decides, whatever it is called now."""
        every = sorted(primaries(), key=lambda alias: shortened(alias) != name.home)
        return next((a for a in every if self.identity(a) == name.identity), None)


_TAKES_NO_WRITES = {
    "postgresql": "SELECT pg_is_in_recovery()",
    "mysql": "SELECT @@global.read_only",
}


def _refuse_replica(control: Control) -> None:
    """
    Raise if the server takes no writes: during a failover it may be a replica.

    A standby of PostgreSQL lists nothing of what is prepared, and a replica has perhaps
    not got what was decided.
    """
    ask = _TAKES_NO_WRITES.get(control.vendor)
    if ask is not None and control.run(ask)[0][0]:
        raise OperationalError("the server takes no writes: it is a replica")


def primaries() -> Iterator[Alias]:
    """
    Return the alias of each database that may be written, files that are there only.

    Where SHOAL lists no cluster, those of DATABASES.
    """
    for alias in written_aliases():
        # What is wrong with a setting is said where it is opened.
        with contextlib.suppress(Exception):
            if is_missing_file(open_apart(alias)):
                continue
        yield alias


def written_aliases() -> list[Alias]:
    """Return the aliases that a unit of work can have written at."""
    topology = get_topology()
    if topology.clusters:
        return [edition.primary for edition in topology.editions()]
    return [a for a, one in connections.settings.items() if is_configured(one)]
