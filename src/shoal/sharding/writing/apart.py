"""
Takes objects to insert that belong on several shards, gives each shard its own rows.

A shard's statement is sent as soon as it is compiled: the client makes the next one
while that shard writes.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shoal.sharding.naming import naming
from shoal.sharding.rows import Fetched
from shoal.sharding.side_by_side import Asked
from shoal.sharding.telling import Why, written
from shoal.sharding.writing.together import Together
from shoal.types import Alias


class Apart(Fetched):
    """
    One INSERT that is one of each shard's own, and the rows that all of them return.

    For a compiler it is many statements; each is answered before it has ended.
    """

    rowcount = -1
    description = None

    def __init__(
        self,
        connection: Any,
        groups: Mapping[Alias, Sequence[int]],
        why: Callable[[], Why],
        prepare: Callable[[Sequence[Any]], Sequence[Any]] | None,
        *,
        may_wait: bool,
    ) -> None:
        """`prepare` gives the rows of objects, where that can be done by itself."""
        self._connection, self._groups, self._why = connection, groups, why
        self._prepare = prepare
        self._asked: list[Asked] = []
        self.cursors = contextlib.ExitStack()
        self.rows: Sequence[Any] = ()
        """The rows of the part that is compiled, where they are known by then."""
        self.together = Together(connection, may_wait=may_wait)
        self._rows = self._in_order()

    def statements(self, compiler: Any, compile_: Callable[[], Any]) -> Iterator[Any]:
        """Yield the SQL of each shard's part, which is to be executed at once."""
        objs = compiler.query.objs
        for alias, indexes in self._groups.items():
            group = compiler.query.objs = [objs[index] for index in indexes]
            if self._prepare is not None:
                # What a compiler makes of the one is what it would make of all.
                compiler.query.objs, self.rows = group[:1], self._prepare(group)
            self._asked.append(self._open(alias))
            yield from compile_()
        compiler.query.objs = objs

    def _open(self, alias: Alias) -> Asked:
        with naming(alias):
            connection = self._connection.shard(alias)
            cursor = connection.cursor()
        self.cursors.callback(cursor.close)
        return Asked(alias=alias, connection=connection, cursor=cursor)

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> "Apart":
        one = self._asked[-1]
        written(self._connection.cluster.name, [one.alias], self._why)
        self.together.hand(one, sql, params)
        return self

    def _in_order(self) -> Iterator[Any]:
        """Yield the rows in the order of the objects, once all shards have ended."""
        self.together.finish()
        rows: list[Any] = [None] * sum(map(len, self._groups.values()))
        for one in self._asked:
            with naming(one.alias):
                found = one.cursor.fetchall()
            for index, row in zip(self._groups[one.alias], found, strict=False):
                rows[index] = row
        yield from rows

    def close(self) -> None:
        """Leave the cursors open: another part may be at work."""
