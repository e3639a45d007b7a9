"""
One `atomic()` of a unit of work, the outermost or one inside: its blocks of Django's.

Takes each server as it joins, gives it a block there, and leaves all of them.
"""

from collections.abc import Sequence

from django.db import Error, connections, transaction

from shoal.types import Alias


class Level:
    """One `atomic()` of the work: the outermost, or one inside."""

    def __init__(self, aliases: Sequence[Alias], *, savepoint: bool) -> None:
        self.aliases = aliases
        self.savepoint = savepoint
        self.blocks: dict[Alias, transaction.Atomic] = {}
        """Those of Django's that are entered for it, in the order of joining."""
        self.hooks: dict[Alias, int] = {}
        """How many there were on a connection that waited when this began."""
        self.depth: dict[Alias, int] = {}
        """How many blocks without savepoints Django had open there by then."""

    def enter(self, alias: Alias) -> None:
        block = transaction.Atomic(alias, savepoint=self.savepoint, durable=False)
        block.__enter__()
        self.blocks[alias] = block

    def leave(self, error: BaseException | None) -> None:
        """Release the savepoints, or roll back to them, on each server."""
        for alias, count in self.hooks.items() if error is not None else ():
            del connections[alias].run_on_commit[count:]
        raised = error
        for alias, block in reversed(self.blocks.items()):
            kind = type(raised) if raised is not None else None
            try:
                block.__exit__(kind, raised, None)
            except Error as caught:
                connections[alias].needs_rollback = True
                raised = raised or caught
        if raised is not error and raised is not None:
            raise raised
