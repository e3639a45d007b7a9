"""
One `atomic()` of a unit of work, the outermost or one inside: its blocks of Django's.

Takes each server as it joins, gives it a block there, and leaves all of them.
"""

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, connections, transaction

from shoal.routing.writes import Hook, kept
from shoal.types import Alias


class Level:
    """One `atomic()` of the work: the outermost, or one inside."""

    def __init__(self, aliases: Sequence[Alias], *, savepoint: bool) -> None:
        self.aliases = aliases
        self.savepoint = savepoint
        self.blocks: dict[Alias, transaction.Atomic] = {}
        """Those of Django's that are entered for it, in the order of joining."""
        self.hooks: dict[Alias, list[Hook]] = {}
        """Those that there were on a connection that waited when this began."""
        self.depth: dict[Alias, int] = {}
        """How many blocks without savepoints Django had open there by then."""
        self.doomed: set[Alias] = set()
        """Those that had to roll back already when this began."""

    def wait(self, alias: Alias, connection: Any) -> None:
        """Keep where a connection is at that waits, to take it back there."""
        self.hooks[alias] = [*connection.run_on_commit]
        self.depth[alias] = len(connection.savepoint_ids)
        if connection.needs_rollback:
            self.doomed.add(alias)

    def enter(self, alias: Alias) -> None:
        block = transaction.Atomic(alias, savepoint=self.savepoint, durable=False)
        block.__enter__()
        self.blocks[alias] = block

    def leave(self, error: BaseException | None) -> None:
        """Release the savepoints, or roll back to them on each server if on one."""
        if error is not None or self._needs_rollback():
            self._take_back()
        else:
            # The block has said itself that nothing is to be rolled back.
            self.doomed.clear()
        raised = error
        released: list[Alias] = []
        for alias, block in reversed(self.blocks.items()):
            kind = type(raised) if raised is not None else None
            try:
                block.__exit__(kind, raised, None)
                released.append(alias)
            except BaseException as caught:
                # What is released already only the whole can take back. This one Django
                # has rolled back, or says that it could not.
                unsure = [] if isinstance(caught, DatabaseError) else [alias]
                for one in (*unsure, *released):
                    connections[one].needs_rollback = True
                raised = raised or caught
        for alias in self.doomed:
            connections[alias].needs_rollback = True
        if raised is not error and raised is not None:
            raise raised

    def _needs_rollback(self) -> bool:
        return any(connections[alias].needs_rollback for alias in self.aliases)

    def _take_back(self) -> None:
        """Let the blocks roll back; where none has begun, there are only hooks."""
        for alias in self.aliases:
            connection: Any = connections[alias]
            if alias in self.hooks:
                # Without a savepoint they go with what is around, if that does.
                if self.savepoint and alias not in self.doomed:
                    connection.run_on_commit = kept(
                        connection.run_on_commit, self.hooks[alias]
                    )
            elif alias not in self.blocks:
                # It could not be entered there, so nothing was done.
                continue
            # A block that has a savepoint takes this back, once it has rolled back.
            connection.needs_rollback = alias in self.blocks or not self.savepoint
