"""
One server's part in a unit of work: its connection, and the `atomic()` it is in.

Takes what the unit decides, does it there, and keeps Django's view of the connection.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

from django.db import Error, transaction

from shoal.errors import CannotPrepare
from shoal.topology import get_topology
from shoal.topology.probe.asking import close, open_apart
from shoal.transactions.engines import (
    ENGINES,
    Engine,
    has_no_room,
    is_answer,
    is_gone,
    was_undone,
    what_was_done,
)
from shoal.transactions.naming import BranchName
from shoal.transactions.wires import Work, done, send, sent, sent_in_turn
from shoal.types import Alias

State = Literal["open", "preparing", "prepared", "ended"]
"""While it is preparing nobody knows, unless the server has refused."""
BROKEN = 3
"""PQTRANS_INERROR.
https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS"""


class RollBack(Exception):
    """What a block is left with, so that it rolls back."""


class Part:
    """What one server does for a unit of work, from its first statement on."""

    def __init__(
        self, alias: Alias, connection: Any, block: transaction.Atomic
    ) -> None:
        self.alias = alias
        self.connection = connection
        self.block = block
        self.name: BranchName | None = None
        """Its name, once it was begun, or is to be prepared, under one."""
        self.state: State = "open"
        self.is_serializable = False
        """Whether the server may refuse the end of what has only read."""
        self._rows = 0

    @property
    def engine(self) -> Engine:
        return ENGINES[self.connection.vendor]

    @property
    def is_outermost(self) -> bool:
        """Whether its end is that of the server's transaction: not in a `TestCase`."""
        blocks = self.connection.atomic_blocks
        return len(blocks) == 1 and not getattr(blocks[0], "_from_testcase", False)

    @property
    def can_prepare(self) -> bool:
        return can_prepare(self.alias, self.connection)

    @property
    def is_named_first(self) -> bool:
        """Whether the server has to hear the name before anything else."""
        engine = ENGINES.get(self.connection.vendor)
        return engine is not None and engine.start is not None

    @property
    def was_begun_by_name(self) -> bool:
        return self.name is not None and self.engine.start is not None

    @property
    def can_still_prepare(self) -> bool:
        """Whether it may, and has heard its name where that has to come first."""
        return self.can_prepare and (self.name is not None or not self.is_named_first)

    @property
    def was_seen_to_write(self) -> bool:
        """Whether the guard has seen it change rows, so that nobody need ask."""
        return bool(self.connection.shoal_has_written)

    def has_written(self) -> Work[bool]:
        """Ask the server, or say yes where it cannot tell. In any thread."""
        if self.connection.vendor != "sqlite":
            seen = yield from what_was_done(self.connection)
            self.is_serializable = seen == "serializable"
            return seen == "written"
        return _rows(self.connection) != self._rows or self._has_changed_tables()

    def _has_changed_tables(self) -> bool:
        """SQLite counts rows only, so ask whether others see another schema."""
        if self.connection.is_in_memory_db():
            return True
        ask = "PRAGMA schema_version"
        apart = open_apart(self.alias)
        try:
            type(apart).connect(apart)
            seen = apart.connection.execute(ask).fetchone()
        finally:
            close(apart)
        return bool(self.connection.connection.execute(ask).fetchone() != seen)

    def enter(self) -> None:
        self.connection.shoal_has_written = False
        try:
            self.block.__enter__()
        except BaseException:
            if not self.connection.in_atomic_block:
                # It is lost, or perhaps half begun. The next to ask opens it anew.
                self.connection.close()
            raise
        self._rows = _rows(self.connection)

    def begin(self, name: BranchName) -> None:
        """Name the branch where that has to come first."""
        assert self.engine.start is not None
        send(self.connection, self.engine.start(name))
        self.name = name

    def prepare(self) -> Work[None]:
        """Let the server promise to commit. In any thread."""
        assert self.name is not None
        self.state = "preparing"
        try:
            yield from sent_in_turn(self.connection, self.engine.prepare(self.name))
        except Error as error:
            if is_answer(error):
                self.state = "open"
            if has_no_room(error) and self.connection.vendor == "postgresql":
                raise self._cannot_prepare(error) from error
            raise
        self.state = "prepared"

    def _cannot_prepare(self, error: Error) -> CannotPrepare:
        said = " ".join(str(error).split())
        return CannotPrepare(
            f"The server {self.alias!r} cannot prepare a transaction, so the unit of "
            f"work was rolled back: {said}",
            hint="Set max_prepared_transactions there to as many as there are "
            "connections, and restart it. `manage.py shoal status` shows what is "
            "prepared and not finished.",
        )

    def leave(self) -> None:
        """Commit what was not prepared, as Django does."""
        self.state = "ended"
        self.block.__exit__(None, None, None)

    def roll_back(self, error: BaseException) -> None:
        """Roll back as Django does, in whatever state it is."""
        if self.state == "ended":
            return
        was, self.state = self.state, "ended"
        if was == "prepared":
            self.finish("roll_back")
            return
        self._undo()
        self.block.__exit__(type(error), error, None)
        if was == "preparing" or (self.name and is_lost(self.connection)):
            # It was told to prepare, and perhaps has.
            self._finish_apart(self.engine.roll_back)

    def _undo(self) -> None:
        """End what Django's rollback would not, or may not come to."""
        for sql in self._undoing():
            # The server ends it by itself where the connection is lost.
            with contextlib.suppress(Error, AttributeError):
                send(self.connection, sql)

    def _undoing(self) -> tuple[str, ...]:
        if self.name is not None:
            return self.engine.undo(self.name) if self.engine.undo is not None else ()
        # If a signal's exception kept Django from its rollback, autocommit would be
        # turned on again: MariaDB and MySQL commit then, and on SQLite it stays open.
        is_refused_then = self.connection.vendor == "postgresql"
        return ("ROLLBACK",) if self.is_outermost and not is_refused_then else ()

    def finish(self, how: Literal["commit", "roll_back"]) -> bool:
        """Do what was decided with what is prepared; `False`: it is left to recover."""
        if self.was_begun_by_name:
            is_done = done(self.conclude(how))
            self.let_go()
            return is_done
        self.let_go()
        return done(self.conclude(how))

    def let_go(self) -> None:
        """Leave the block, in which nothing is open, for Django's view of it."""
        self.state = "ended"
        # They are called by whoever ends the unit, if it has committed.
        self.connection.run_on_commit = []
        try:
            if self._is_plain:
                # As the block's end does, but for a COMMIT of nothing.
                self.connection.atomic_blocks.clear()
                self.connection.in_atomic_block = False
                self.connection.set_autocommit(True)
            else:
                self.block.__exit__(None, None, None)
        except Error:
            self.connection.close()

    @property
    def _is_plain(self) -> bool:
        """Whether the end of the block is a COMMIT, and autocommit again."""
        own = self.connection
        lost = own.closed_in_transaction or own.needs_rollback
        return self.is_outermost and own.commit_on_exit and not lost

    def conclude(self, how: Literal["commit", "roll_back"]) -> Work[bool]:
        """Tell the server, over another connection where this one is lost."""
        assert self.name is not None
        sql: Callable[[BranchName], str] = getattr(self.engine, how)
        try:
            yield from sent(self.connection, sql(self.name))
        except (Error, AttributeError):
            return self._finish_apart(sql)
        return True

    def _finish_apart(self, sql: Callable[[BranchName], str]) -> bool:
        assert self.name is not None
        apart = open_apart(self.alias)
        apart.settings_dict["AUTOCOMMIT"] = True
        try:
            with apart.wrap_database_errors:
                type(apart).connect(apart)
            send(apart, sql(self.name))
        except Error as error:
            return is_gone(error) and self.connection.vendor == "postgresql"
        finally:
            close(apart)
        return True

    @property
    def is_stuck(self) -> bool:
        """Whether the connection, after the end, is in the block or half out of it."""
        own = self.connection
        if own.connection is None:
            return False
        if own.atomic_blocks:
            return bool(own.atomic_blocks[0] is self.block)
        return bool(own.in_atomic_block or not own.autocommit)

    def cut_off(self) -> None:
        """Close the connection, and let Django see one that is to be opened."""
        own = self.connection
        own.close()
        own.in_atomic_block = own.needs_rollback = False
        own.atomic_blocks.clear()
        own.savepoint_ids.clear()
        if own.vendor == "sqlite" and own.is_in_memory_db():
            # With its connection such a database would be gone.
            own.rollback()
            own.set_autocommit(True)
        else:
            own.connection = None

    def abandon(self) -> None:
        """Leave what is prepared as it is, for `recover`."""
        if self.was_begun_by_name:
            # In this state the session takes nothing but its end.
            self.connection.close()
        self.let_go()


def can_prepare(alias: Alias, connection: Any) -> bool:
    """Say whether a server may be asked to prepare a transaction."""
    if connection.vendor not in ENGINES:
        return False
    member = get_topology().by_alias.get(alias)
    return member is None or member[1].two_phase


def is_lost(connection: Any) -> bool:
    return connection.connection is None or bool(
        getattr(connection.connection, "closed", False)
    )


def is_broken(connection: Any) -> bool:
    """Say whether a commit would be answered with a rollback, or has less to commit."""
    if was_undone(connection):
        return True
    pgconn = getattr(connection.connection, "pgconn", None)
    return pgconn is not None and pgconn.transaction_status == BROKEN


def _rows(connection: Any) -> int:
    """Return how many rows a connection of SQLite's has changed so far."""
    return connection.connection.total_changes if connection.vendor == "sqlite" else 0
