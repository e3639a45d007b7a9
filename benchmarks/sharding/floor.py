"""
Takes what shards do of a question, gives the least time that all of them need for it.

The same SQL, sent to all shards at the same time on plain connections of the driver,
and the rows fetched: no Django, nothing merged. What a sharded alias takes beyond that
is its own. What it takes to here is the machine's: four shards share its cores, and a
server may give a single query all of them.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from benchmarks.sharding.measuring import Way
from benchmarks.sharding.places import SHARDS

AT_ONCE = "all at once, unmerged"
IN_ONE_PROCESS = "all at once, one process"


class Asked(NamedTuple):
    sql: str
    params: Any


class Floor:
    """A thread and two connections for each shard, kept for all questions."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(len(SHARDS))
        self._plain = {alias: connect(alias) for alias in SHARDS}
        self._single = {alias: connect(alias) for alias in SHARDS}
        for connection in self._single.values():
            connection.execute("SET max_parallel_workers_per_gather = 0")

    def ways(self, asked: Mapping[str, Asked]) -> Mapping[str, Way]:
        """Return the ways to ask every shard its part, by name."""
        return {
            AT_ONCE: self._way(self._plain, asked),
            IN_ONE_PROCESS: self._way(self._single, asked),
        }

    def workers(self, asked: Mapping[str, Asked]) -> int:
        """Return how many processes a server adds, at most, for the part of a shard."""
        return max(
            _workers(self._explained(alias, one)["Plan"])
            for alias, one in asked.items()
        )

    def _explained(self, alias: str, asked: Asked) -> Any:
        sql = f"EXPLAIN (FORMAT JSON) {asked.sql}"
        [[[plan]]] = self._plain[alias].execute(sql, asked.params).fetchall()
        return plan

    def _way(self, connections: Mapping[str, Any], asked: Mapping[str, Asked]) -> Way:
        def ask(alias: str) -> list[Any]:
            with connections[alias].cursor() as cursor:
                cursor.execute(*asked[alias])
                rows: list[Any] = cursor.fetchall()
            return rows

        return lambda n: lambda: list(self._pool.map(ask, SHARDS))


def connect(alias: str) -> Any:
    """Return a connection of the driver, set up as Django sets up its own."""
    import psycopg
    from django.db import connections

    params = connections[alias].get_connection_params()
    return psycopg.connect(**params, autocommit=True)


def asked_of(part: Callable[[Any], Any], rows: Any) -> Mapping[str, Asked]:
    """Let each shard do its part once, and return the SQL that it was asked."""
    return {alias: _asked(part, rows.using(alias), alias) for alias in SHARDS}


def _asked(part: Callable[[Any], Any], rows: Any, alias: str) -> Asked:
    from django.db import connections

    seen: list[Asked] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(Asked(sql, params))
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        part(rows)
    [one] = seen
    return one


def _workers(node: Mapping[str, Any]) -> int:
    """Return how many workers a plan has, those of its inner nodes included."""
    inner = max((_workers(one) for one in node.get("Plans", ())), default=0)
    return max(inner, node.get("Workers Planned", 0))
