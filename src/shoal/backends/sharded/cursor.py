"""
The cursor of a sharded alias. Takes a statement, asks who answers it, hands on rows.

A compiler at work has said who answers. Raw SQL runs on the shard, or shards, that an
enclosing block names, and nowhere else.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shoal.errors import RawQueryRefused
from shoal.placement.scopes import current_target
from shoal.sharding.rows import Fetched

_SHOWN = 60
"""Characters of a refused statement that its error shows."""


class ShardedCursor:
    """Looks like a driver's cursor to Django's own wrapper of cursors."""

    arraysize = 1

    def __init__(self, connection: Any, *, is_chunked: bool = False) -> None:
        self._connection = connection
        self._is_chunked = is_chunked
        self._statement = connection.statements[-1] if connection.statements else None
        self._answer: Any = None

    def execute(self, sql: Any, params: Any = None) -> None:
        self._forget()
        statement = self._statement or self._raw(sql)
        self._answer = statement.answer(sql, params, is_chunked=self._is_chunked)

    def executemany(self, sql: Any, param_list: Sequence[Any]) -> None:
        self._forget()
        statement = self._statement or self._raw(sql)
        self._answer = statement.answer_many(sql, param_list)

    def callproc(self, name: str, params: Any = None, kparams: Any = None) -> Any:
        self._forget()
        statement = self._statement or self._raw(name)
        self._answer = statement.call(name, params, kparams)
        return params

    def copy(self, sql: Any, *args: Any, **options: Any) -> Any:
        """Return psycopg's `copy()` on the shard that an enclosing block names."""
        self._forget()
        self._answer = self._raw(sql).cursor()
        return self._answer.copy(sql, *args, **options)

    def _raw(self, sql: Any) -> Any:
        cluster = self._connection.cluster
        target = current_target(cluster.name)
        if target is not None:
            return RawStatement(self._connection, target)
        shown = " ".join(str(sql).split())
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
        raise RawQueryRefused(
            f"Raw SQL on the sharded alias {cluster.name!r} was refused: {shown!r} "
            "does not say which shard it is for.",
            hint=f"Run it inside `with on_shard({cluster.name!r}, key=...)`, on each "
            f"shard inside `with on_every_shard({cluster.name!r})`, or on the alias of "
            "one shard.",
        )

    def _forget(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        self._forget()

    @property
    def connection(self) -> Any:
        """The driver's connection to the home shard, for what quotes values."""
        self._connection.home.ensure_connection()
        return self._connection.home.connection

    def __getattr__(self, name: str) -> Any:
        """Return `rowcount`, `description`, `lastrowid` and what else drivers have."""
        answer = self.__dict__.get("_answer")
        if answer is None:
            if name in ("description", "lastrowid"):
                return None
            if name == "rowcount":
                return -1
            raise AttributeError(f"The cursor of a sharded alias has no {name!r} yet.")
        return getattr(answer, name)

    def fetchone(self) -> Any:
        return self._answer.fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        found = self._answer.fetchmany(*([] if size is None else [size]))
        # Django knows the end by what this vendor's driver returns there.
        return found or self._connection.features.empty_fetchmany_value

    def fetchall(self) -> Any:
        return self._answer.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._answer)

    def __enter__(self) -> "ShardedCursor":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RawStatement:
    """SQL that is not a compiler's, on the shards that a block names."""

    def __init__(self, connection: Any, target: Any) -> None:
        self._connection, self._target = connection, target

    def cursor(self) -> Any:
        """Return a cursor of the one shard, for what is not done on several."""
        if len(self._target) > 1:
            raise RawQueryRefused(
                f"One COPY was asked of {len(self._target)} shards.",
                hint="Copy inside on_shard(), shard by shard.",
            )
        return self._connection.shard(self._target[0]).cursor()

    def _on_each(self, run: Any) -> Any:
        answers = []
        for alias in self._target:
            cursor = self._connection.shard(alias).cursor()
            run(cursor)
            answers.append(cursor)
        return answers[0] if len(answers) == 1 else Chained(answers)

    def answer(self, sql: Any, params: Any, *, is_chunked: bool) -> Any:
        return self._on_each(lambda cursor: cursor.execute(sql, params))

    def answer_many(self, sql: Any, param_list: Any) -> Any:
        return self._on_each(lambda cursor: cursor.executemany(sql, param_list))

    def call(self, name: str, params: Any, kparams: Any) -> Any:
        return self._on_each(lambda cursor: cursor.callproc(name, params, kparams))


class Chained(Fetched):
    """The rows of several cursors, one after the other."""

    def __init__(self, cursors: Sequence[Any]) -> None:
        self._cursors = list(cursors)
        self._rows = (row for cursor in self._cursors for row in cursor)
        self.description = self._cursors[0].description
        self.lastrowid = getattr(self._cursors[-1], "lastrowid", None)

    @property
    def rowcount(self) -> int:
        return sum(max(cursor.rowcount, 0) for cursor in self._cursors)

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.close()
