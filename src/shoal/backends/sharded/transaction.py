"""
One transaction over shards, each of which joins it when it is first touched.

What is asked for on the sharded alias is done on each shard that has joined: savepoints
are made there, too. A shard that joins late gets those that are open by then.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import Error, OperationalError, transaction

from shoal.errors import PartialCommit
from shoal.types import Alias


class ShardedTransaction:
    """What the shards of one sharded connection have begun, until it ends."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._blocks: dict[Alias, transaction.Atomic] = {}
        """An `atomic()` of each shard that has joined, in the order of joining."""
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
        self._blocks[alias] = block
        try:
            block.__enter__()
            for sid in self._savepoints:
                self._save(connection, sid)
        except BaseException:
            del self._blocks[alias]
            raise

    def has_joined(self, alias: Alias) -> bool:
        return alias in self._blocks or self._is_ending

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
            known = {id(hook) for hook in before}
            hooks = connection.run_on_commit
            connection.run_on_commit = [hook for hook in hooks if id(hook) in known]

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
        """
        Commit on each shard that has joined.

        Shards whose deferred constraints would fail, or whose transaction is broken,
        are found before the first commit. What fails later leaves a part committed,
        and raises `PartialCommit`.
        """
        try:
            self._require_sound()
        except BaseException:
            self.rollback()
            raise
        self._keep_hooks()
        with self._ending() as blocks:
            _commit_each(blocks)

    def _keep_hooks(self) -> None:
        """Let what is to be run after a shard's commit be run after all of them."""
        for connection in self._joined():
            if len(connection.atomic_blocks) == 1:
                self._owner.run_on_commit += connection.run_on_commit
                connection.run_on_commit = []

    @contextlib.contextmanager
    def _ending(self) -> Iterator[dict[Alias, transaction.Atomic]]:
        """Yield the blocks, which are about to be left."""
        blocks = self._taken()
        self._is_ending = True
        try:
            yield blocks
        finally:
            self._is_ending = False

    def _require_sound(self) -> None:
        connections = self._joined()
        for connection in connections:
            if is_broken(connection):
                connection.needs_rollback = True
            connection.validate_no_broken_transaction()
        if len(connections) > 1:
            for connection in connections:
                if connection.vendor == "postgresql":
                    connection.check_constraints()

    def rollback(self) -> None:
        with self._ending() as blocks:
            _roll_back(list(blocks.values()), RollBack())

    def end(self) -> None:
        """Forget what a commit or rollback has not ended: there should be nothing."""
        if self._blocks:
            self.rollback()

    def abandon(self) -> None:
        with contextlib.suppress(Error):
            self.rollback()

    def _taken(self) -> dict[Alias, transaction.Atomic]:
        """Return the blocks, which are about to be left."""
        blocks, self._blocks = self._blocks, {}
        self._savepoints, self._hooks = [], {}
        return blocks

    def _joined(self) -> list[Any]:
        names = map(self._owner.registered, self._blocks)
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


class RollBack(Exception):
    """What an `atomic()` of a shard is left with, so that it rolls back."""


def _commit_each(blocks: dict[Alias, transaction.Atomic]) -> None:
    done: list[Alias] = []
    for alias, block in blocks.items():
        try:
            block.__exit__(None, None, None)
        except Error as error:
            rest = [b for a, b in blocks.items() if a not in (*done, alias)]
            _roll_back(rest, error)
            if not done:
                raise
            raise PartialCommit(
                f"The shards {', '.join(map(repr, done))} have committed, but "
                f"{alias!r} has not: {error}",
                hint="Compare the rows of this unit of work on these shards.",
            ) from error
        done.append(alias)


def _roll_back(blocks: list[transaction.Atomic], error: BaseException) -> None:
    failed: BaseException | None = None
    for block in reversed(blocks):
        try:
            block.__exit__(type(error), error, None)
        except Error as caught:
            failed = caught
    if failed is not None:
        raise failed


def is_broken(connection: Any) -> bool:
    """Say whether the server would answer a commit with a rollback."""
    pgconn = getattr(connection.connection, "pgconn", None)
    return pgconn is not None and pgconn.transaction_status == IN_ERROR


IN_ERROR = 3
"""PQTRANS_INERROR.
https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS"""
