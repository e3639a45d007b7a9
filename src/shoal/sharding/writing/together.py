"""
Takes what several shards are to write, lets them do it at the same time.

Two that write the same rows of several shards could then wait for each other, and no
server would see it. So who waits for a lock takes back what the other shards have
done, and goes from shard to shard in one order, as the other does then.
"""

from dataclasses import replace
from typing import Any

from django.db import DatabaseError

from shoal.sharding.naming import naming
from shoal.sharding.side_by_side import Asked, Question
from shoal.topology.probe.asking import close, open_apart

PATIENCE = 1.0
"""Seconds before anybody asks what a shard is waiting for; each time twice as long."""
SAVEPOINT = "shoal_together"
_IS_BLOCKED = "SELECT cardinality(pg_blocking_pids(%s)) > 0"


class _Waits(Exception):
    """A shard waits for a lock."""


class Together:
    """
    One statement for each of several shards, until all have run. A block.

    `may_wait`: rows that are there are changed. On MySQL and MariaDB, where savepoints
    do not let go of locks, shards do that one after the other.
    """

    def __init__(self, connection: Any, *, may_wait: bool) -> None:
        self._order = [shard.name for shard in connection.cluster.shards]
        self._takes_turns = may_wait and connection.vendor == "mysql"
        self._question = Question()
        self._undoable: list[_Undoable] = []

    def __enter__(self) -> "Together":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.finish()
        else:
            self._question.__exit__(kind, error, trace)

    def hand(self, one: Asked, sql: str, params: Any) -> None:
        """Let a shard begin, or run it there where shards take turns."""
        if self._takes_turns:
            self._question.put(one, sql, params)
        elif one.connection.vendor == "postgresql":
            undoable = _Undoable(one, sql, params)
            self._undoable.append(undoable)
            self._question.hand(replace(one, cursor=undoable), sql, params)
        else:
            self._question.hand(one, sql, params)

    def finish(self) -> None:
        """Return once all have ended; raise the first error."""
        sent, self._undoable = self._undoable, []
        try:
            with self._question:
                if len(sent) > 1:
                    self._watch()
        except _Waits:
            for one in sent:
                one.undo()
            for one in sorted(sent, key=lambda one: self._order.index(one.alias)):
                one.run()
        for one in sent:
            one.keep()

    def _watch(self) -> None:
        patience = PATIENCE
        while not self._question.ends_within(patience):
            if any(map(_is_blocked, self._question.at_work())):
                raise _Waits
            patience *= 2


class _Undoable:
    """A statement of one shard, which lets go of its locks if it is undone."""

    def __init__(self, one: Asked, sql: str, params: Any) -> None:
        self.alias = one.alias
        self._one, self._sql, self._params = one, sql, params
        self._has_begun = False

    def execute(self, sql: str, params: Any) -> None:
        self._begin()
        self._one.cursor.execute(sql, params)

    def _begin(self) -> None:
        if not self._has_begun:
            self._do("SAVEPOINT")
            self._has_begun = True

    def undo(self) -> None:
        """Take back what has been done; it may be that no thread has begun."""
        if self._has_begun:
            self._do("ROLLBACK TO SAVEPOINT")

    def run(self) -> None:
        self._begin()
        with naming(self.alias):
            self._one.cursor.execute(self._sql, self._params)

    def keep(self) -> None:
        self._do("RELEASE SAVEPOINT")

    def _do(self, what: str) -> None:
        """Say it past Django, whose log and counts are of what the project asks."""
        connection = self._one.connection
        with naming(self.alias), connection.wrap_database_errors:
            connection.connection.execute(f"{what} {SAVEPOINT}")


def _is_blocked(one: Asked) -> bool:
    """Say whether a shard is waiting for a lock that somebody else has."""
    number = one.connection.connection.info.backend_pid
    apart = open_apart(one.alias)
    try:
        with apart.cursor() as cursor:
            cursor.execute(_IS_BLOCKED, [number])
            return bool(cursor.fetchone()[0])
    except DatabaseError:
        # Nobody may ask now; the statement is not the worse for it.
        return False
    finally:
        close(apart)
