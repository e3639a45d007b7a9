"""Takes a statement, runs it as it is on shards, gives their answers as one."""

from collections.abc import Callable, Sequence
from typing import Any

from shoal.sharding.naming import naming
from shoal.sharding.rows import Fetched
from shoal.sharding.side_by_side import Asked, Question
from shoal.sharding.telling import Why, written
from shoal.sharding.writing.together import Together
from shoal.types import Alias


class Everywhere:
    """Answers each statement by several shards; what they change adds up."""

    def __init__(
        self,
        connection: Any,
        shards: Sequence[Alias],
        *,
        counted: Alias | None = None,
        why: Callable[[], Why] | None = None,
    ) -> None:
        self._connection, self._shards, self._why = connection, shards, why
        self._counted = counted
        """The only shard whose rows count, where all have the same rows."""

    def answer(self, sql: Any, params: Any, *, is_chunked: bool = False) -> Any:
        return self._each(lambda cursor: cursor.execute(sql, params))

    def answer_many(self, sql: Any, param_list: Any) -> Any:
        return self._each(lambda cursor: cursor.executemany(sql, param_list))

    def _each(self, run: Any) -> Any:
        self._tell()
        cursors = []
        counted = None
        for alias in self._shards:
            with naming(alias):
                cursor = self._connection.shard(alias).cursor()
                run(cursor)
            cursors.append(cursor)
            if alias == self._counted:
                counted = cursor
        if counted is not None:
            return counted
        return cursors[0] if len(cursors) == 1 else Summed(cursors)

    def _tell(self) -> None:
        if self._why is not None:
            written(self._connection.cluster.name, self._shards, self._why)


class AtOnce(Everywhere):
    """
    The same, of rows: several shards run it at the same time.

    Where all have the same rows, the first of them comes first: who has the locks
    there will get them on the others.
    """

    def answer(self, sql: Any, params: Any, *, is_chunked: bool = False) -> Any:
        if len(self._shards) == 1:
            return super().answer(sql, params)
        self._tell()
        asked = [self._open(alias) for alias in self._shards]
        firsts = [one for one in asked if one.alias == self._counted]
        for one in firsts:
            with naming(one.alias):
                one.cursor.execute(sql, params)
        others = [one for one in asked if one not in firsts]
        with Question() if firsts else Together(self._connection, may_wait=True) as q:
            for one in others:
                q.hand(one, sql, params)
        return firsts[0].cursor if firsts else Summed([one.cursor for one in asked])

    def _open(self, alias: Alias) -> Asked:
        with naming(alias):
            connection = self._connection.shard(alias)
            return Asked(alias=alias, connection=connection, cursor=connection.cursor())


class Summed(Fetched):
    """The answers of several shards: their rows in turn, their counts as one."""

    def __init__(self, cursors: Sequence[Any]) -> None:
        self._cursors = list(cursors)
        self._rows = (
            row for cursor in self._cursors if cursor.description for row in cursor
        )
        self.rowcount = sum(max(cursor.rowcount, 0) for cursor in self._cursors)
        self.description = self._cursors[0].description if cursors else None

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.close()
