"""
The work of one outermost `atomic()`: the databases that may join it, and those that do.

Takes Django's connections. One that may join waits: Django takes it for one in an
atomic block already, and the block begins when somebody needs the connection.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import Error, connections, transaction

from shoal.errors import UnitRefused
from shoal.routing.writes import in_order
from shoal.transactions.committing import (
    close_stuck,
    commit,
    cut_off,
    roll_back,
)
from shoal.transactions.levels import Level
from shoal.transactions.parts import Part, RollBack, can_prepare
from shoal.transactions.unit import Unit
from shoal.transactions.waiting import end_waiting, push, wait
from shoal.types import Alias

logger = logging.getLogger("django.db.backends.base")


class Work:
    """Databases that commit together, in one thread."""

    def __init__(self, *, best_effort: bool, inside: Alias | None = None) -> None:
        self._best_effort = best_effort
        self.inside = inside
        """Where a block of Django's is around it and ends it, so that none may join."""
        self._levels: list[Level] = []
        self._taken: dict[Alias, Any] = {}
        """The connection of each that may join."""
        self._waiting: dict[Alias, Any] = {}
        self._parts: dict[Alias, Part] = {}
        self._whole: dict[Alias, transaction.Atomic] = {}
        """The blocks of sharded aliases, whose shards join by themselves."""
        self._unit = Unit()

    # Beginning.

    def enter(self, members: Mapping[Alias, Any], *, savepoint: bool) -> Level:
        is_first = not self._levels
        aliases = () if is_first else (*members,)
        level = Level(aliases, savepoint=savepoint)
        self._levels.append(level)
        try:
            self._enter(level, members)
        except BaseException as error:
            self._undo(level, error)
            raise
        return level

    def _enter(self, level: Level, members: Mapping[Alias, Any]) -> None:
        for alias, connection in members.items():
            if alias not in self._taken:
                self._take(alias, connection)
        if level is self._levels[0]:
            self._unit = self._begun_unit()
        for alias in level.aliases:
            if alias in self._waiting:
                level.wait(alias, self._waiting[alias])
            else:
                level.enter(alias)

    def _undo(self, level: Level, error: BaseException) -> None:
        """Leave what was entered of a block that could not begin."""
        with contextlib.suppress(Error):
            if level is self._levels[0]:
                self._roll_back(error)
            else:
                level.leave(error)
        self._levels.remove(level)
        if not self._levels:
            self._let_go()

    def _begun_unit(self) -> Unit:
        """What joins later in an inner block may be more: so be ready for several."""
        unable = [a for a, one in self._waiting.items() if not can_prepare(a, one)]
        last = partial(self._touched, unable[0]) if unable else None
        unit = Unit(last=last)
        for alias in self._whole:
            _shards_of(alias).unit = unit
        return unit

    def _touched(self, alias: Alias) -> Any:
        connection = connections[alias]
        connection.ensure_connection()
        return connection

    def _take(self, alias: Alias, connection: Any) -> None:
        self._taken[alias] = connection
        connection.shoal_work = self
        owner = owner_of(connection)
        if owner is not None and owner.in_transaction:
            owner.transaction.join(connection)
        if getattr(connection, "is_sharded", False):
            if connection.connection is None and not connection.in_atomic_block:
                # It asks no server yet. In a test that does not list the alias, all
                # other ways to connect are Django's, and raise.
                type(connection).connect(connection)
            block = transaction.Atomic(alias, savepoint=True, durable=False)
            block.__enter__()
            self._whole[alias] = block
            connection.transaction.unit = self._unit
        elif connection.in_atomic_block:
            # A test's, or one around a single database.
            self._join(alias, connection)
        else:
            self._wait(alias, connection)

    def _wait(self, alias: Alias, connection: Any) -> None:
        """Let Django see an atomic block; it begins with what needs the connection."""
        # First, so that what a signal raises in between is undone, too.
        self._waiting[alias] = connection
        wait(connection, partial(self._begin, alias, connection))

    def _end_waiting(self, alias: Alias, connection: Any) -> None:
        end_waiting(connection)
        del self._waiting[alias]

    def _begin(self, alias: Alias, connection: Any) -> None:
        """Begin a transaction on a server that is touched for the first time."""
        hooks, broken = connection.run_on_commit, connection.needs_rollback
        # Django has entered these without a word to the server.
        inner = connection.atomic_blocks[1:]
        self._end_waiting(alias, connection)
        try:
            self._join(alias, connection)
            self._enter_levels(alias, connection, inner)
        except BaseException:
            if alias not in self._parts:
                # Else the next statement would commit by itself.
                self._wait(alias, connection)
            broken = broken or alias in self._parts
            raise
        finally:
            push(connection, inner)
            connection.run_on_commit = hooks
            connection.needs_rollback = broken or connection.needs_rollback

    def _join(self, alias: Alias, connection: Any) -> None:
        block = transaction.Atomic(alias, savepoint=True, durable=False)
        part = Part(alias, connection, block)
        part.enter()
        if not connection.commit_on_exit and len(connection.atomic_blocks) == 1:
            block.__exit__(None, None, None)
            raise UnitRefused(
                f"The connection to {alias!r} is not in autocommit mode, so a "
                "transaction is open there that nobody ends here.",
                hint="Leave AUTOCOMMIT on, and call no set_autocommit(False).",
            )
        self._parts[alias] = part
        self._unit.begin(part)

    def _enter_levels(self, alias: Alias, connection: Any, inner: list[Any]) -> None:
        """Make the savepoints of open blocks, between those that Django has open."""
        pushed = 0
        for level in self._levels[1:]:
            if alias in level.aliases:
                depth = level.depth.get(alias, 0)
                push(connection, inner[: depth - pushed])
                del inner[: depth - pushed]
                pushed = depth
                level.enter(alias)

    # Ending.

    def leave(self, level: Level, error: BaseException | None) -> None:
        if level is not self._levels[0]:
            self._levels.remove(level)
            level.leave(error)
            return
        try:
            with cut_off(self._parts.values()):
                hooks = self._taken_hooks()
                if error is not None or self._needs_rollback():
                    self._roll_back(error)
                    return
                self._commit()
        finally:
            self._let_go()
        _call(hooks)

    def _needs_rollback(self) -> bool:
        return any(member.needs_rollback for member in self._taken.values())

    def _taken_hooks(self) -> list[Any]:
        """Take what is to be called after the commit; a test's own keeps its own."""
        hooks: list[Any] = []
        for alias, member in self._taken.items():
            part = self._parts.get(alias)
            if part is not None and not part.is_outermost:
                continue
            if alias in self._whole and len(member.atomic_blocks) > 1:
                continue
            if alias in self._whole:
                _shards_of(alias).keep_hooks()
            hooks += member.run_on_commit
            member.run_on_commit = []
        return in_order(hooks)

    def _commit(self) -> None:
        try:
            if not self._whole:
                self._commit_parts([*self._parts.values()])
                return
            with contextlib.ExitStack() as stack:
                parts = [*self._parts.values()]
                for alias in self._whole:
                    if len(connections[alias].atomic_blocks) == 1:
                        parts += stack.enter_context(_shards_of(alias).ending())
                self._commit_parts(parts)
        except BaseException as error:
            self._leave_whole(error)
            raise
        self._leave_whole(None)

    def _commit_parts(self, parts: Sequence[Part]) -> None:
        commit(self._unit, parts, best_effort=self._best_effort)

    def _roll_back(self, error: BaseException | None) -> None:
        """Roll back everywhere; without an error it was asked for, as in Django."""
        why = error or RollBack()
        roll_back([*self._parts.values()], why)
        # What has ended an inner block halfway has left the connection in it.
        close_stuck(self._parts.values())
        self._leave_whole(why)

    def _leave_whole(self, error: BaseException | None) -> None:
        whole, self._whole = self._whole, {}
        for block in reversed(whole.values()):
            kind = type(error) if error is not None else None
            block.__exit__(kind, error, None)

    def _let_go(self) -> None:
        for alias, connection in [*self._waiting.items()]:
            self._end_waiting(alias, connection)
            connection.run_on_commit = []
        for connection in self._taken.values():
            connection.__dict__.pop("shoal_work", None)


def work_of(connection: Any) -> Work | None:
    """Return the work that a connection is taken by."""
    found: Work | None = connection.__dict__.get("shoal_work")
    return found


def owner_of(connection: Any) -> Any:
    """Return the connection of the sharded alias that it is a shard of, or `None`."""
    found = getattr(connection, "shoal_owner", None)
    return found() if found is not None else None


def _shards_of(alias: Alias) -> Any:
    """Return the transaction of a sharded alias."""
    connection: Any = connections[alias]
    return connection.transaction


def _call(hooks: Sequence[tuple[Any, Callable[[], Any], bool]]) -> None:
    """Call what `on_commit()` was given, as Django does after a commit."""
    for _, hook, is_robust in hooks:
        if not is_robust:
            hook()
            continue
        try:
            hook()
        except Exception as error:
            logger.exception(
                "Error calling %s in on_commit() during transaction (%s).",
                hook.__qualname__,
                error,
            )
