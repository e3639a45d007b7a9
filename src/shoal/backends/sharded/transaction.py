"""
One transaction over shards, each of which joins it when it is first touched.

What is asked for on the sharded alias is done on each shard that has joined: savepoints
are made there, too. A shard that joins late gets those that are open by then.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import Error, OperationalError, transaction

from shoal.routing.writes import in_order, kept
from shoal.transactions.committing import close_stuck, commit, cut_off, roll_back
from shoal.transactions.parts import Part, RollBack
from shoal.transactions.unit import Unit
from shoal.types import Alias


class ShardedTransaction:
    """What the shards of one sharded connection have begun, until it ends."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._parts: dict[Alias, Part] = {}
        """Each shard that has joined, in the order of joining."""
        self.unit = Unit()
        """What they commit as: an enclosing unit over several clusters, or our own."""
        self._is_ending = False
        """While blocks are left, no shard joins again."""
        self._savepoints: list[str] = []
        self._hooks: dict[tuple[Alias, str], list[Any]] = {}
        """What was to be run after the commit of a shard when a savepoint was made."""

    def join(self, connection: Any) -> None:
        """Let a shard take part, if a transaction is open on the sharded alias."""
        alias = connection.alias
        _keep_time_zone(connection)
        if self.has_joined(alias) or not self._owner.in_transaction:
            return
        name = self._owner.registered(alias)
        block = transaction.Atomic(using=name, savepoint=True, durable=False)
        block._from_testcase = self._is_of_test()  # type: ignore[attr-defined]
        # First: what the block does touches the connection, and would join again.
        self._parts[alias] = part = Part(alias, connection, block)
        try:
            part.enter()
            self.unit.begin(part)
            for sid in self._savepoints:
                self._save(connection, sid)
        except BaseException as error:
            if block in connection.atomic_blocks:
                with contextlib.suppress(Error):
                    part.roll_back(error)
            del self._parts[alias]
            raise

    def has_joined(self, alias: Alias) -> bool:
        return alias in self._parts or self._is_ending

    def _is_of_test(self) -> bool:
        blocks = self._owner.atomic_blocks
        return bool(blocks) and bool(getattr(blocks[0], "_from_testcase", False))

    def savepoint(self, sid: str) -> None:
        self._savepoints.append(sid)
        for connection in self._joined():
            self._save(connection, sid)

    def _save(self, connection: Any, sid: str) -> None:
        connection._savepoint(_on_shards(sid))
        self._hooks[connection.alias, sid] = list(connection.run_on_commit)

    def savepoint_rollback(self, sid: str) -> None:
        del self._savepoints[self._index(sid) + 1 :]
        for connection in self._joined():
            connection.needs_rollback = False
            connection._savepoint_rollback(_on_shards(sid))
            # What was registered there by on_commit() since then goes as well.
            before = self._hooks.get((connection.alias, sid), [])
            connection.run_on_commit = kept(connection.run_on_commit, before)

    def savepoint_commit(self, sid: str) -> None:
        index = self._index(sid)
        for connection in self._joined():
            connection._savepoint_commit(_on_shards(sid))
        del self._savepoints[index:]

    def _index(self, sid: str) -> int:
        """Return which of the open savepoints it is; servers say the same of none."""
        if sid not in self._savepoints:
            raise OperationalError(f"no such savepoint: {sid}")
        return self._savepoints.index(sid)

    def commit(self) -> None:
        """Commit on each shard that has joined, or on none: see `committing`."""
        self.keep_hooks()
        unit = self.unit
        with self.ending() as parts:
            commit(unit, parts, best_effort=True)

    def keep_hooks(self) -> None:
        """Let what is to be run after a shard's commit be run after all of them."""
        hooks = self._owner.run_on_commit
        for connection in self._joined():
            if len(connection.atomic_blocks) == 1:
                hooks += connection.run_on_commit
                connection.run_on_commit = []
        self._owner.run_on_commit = in_order(hooks)

    @contextlib.contextmanager
    def ending(self) -> Iterator[list[Part]]:
        """Yield the parts of the shards, which are about to end."""
        parts = self._taken()
        self._is_ending = True
        try:
            yield parts
        finally:
            self._is_ending = False

    def rollback(self) -> None:
        with self.ending() as parts, cut_off(parts):
            roll_back(parts, RollBack())
            close_stuck(parts)

    def end(self) -> None:
        """Forget what a commit or rollback has not ended: there should be nothing."""
        if self._parts:
            self.rollback()

    def abandon(self) -> None:
        with contextlib.suppress(Error):
            self.rollback()

    def _taken(self) -> list[Part]:
        """Return the parts, which are about to end; what joins next is another unit."""
        parts, self._parts = [*self._parts.values()], {}
        self._savepoints, self._hooks = [], {}
        self.unit = Unit()
        return parts

    def _joined(self) -> list[Any]:
        names = map(self._owner.registered, self._parts)
        return [transaction.get_connection(name) for name in names]


def _on_shards(sid: str) -> str:
    """Return a name that is none of the shards' own, which they count as we do."""
    return f"shoal_{sid}"


def _keep_time_zone(connection: Any) -> None:
    """
    Set the time zone where a test has changed it in a transaction that took it back.

    Asks nobody: the driver knows what the server has.
    """
    if connection.connection is not None and hasattr(connection, "_configure_timezone"):
        connection._configure_timezone(connection.connection)
