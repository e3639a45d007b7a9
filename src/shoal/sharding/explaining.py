"""
Takes a query that was asked for its plan, gives Shoal's, and then each server's own.

Nothing is brought together for it, unless the query is to be run anyway
(`analyze=True`).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections

from shoal.routing import members
from shoal.sharding.naming import naming
from shoal.sharding.one_shard import connection_to
from shoal.sharding.plan import Plan, Statement
from shoal.sharding.plan_text import Own, text
from shoal.sharding.reading import Reading
from shoal.sharding.rows import Fetched
from shoal.topology import get_topology
from shoal.types import Alias

Row = Sequence[Any]


class Explaining:
    """Answers the statement of a query's `explain()`."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        self._connection = compiler.connection
        self._format = compiler.query.explain_info.format
        self._options: dict[str, Any] = compiler.query.explain_info.options
        self._is_json = (self._format or "").upper() == "JSON"

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> "Lines":
        """Return a row for each line; of JSON, one row with one document."""
        plan, found = self.look(sql, params)
        if not self._is_json:
            return Lines([(line,) for line in text(plan, found)])
        plans = [
            {"alias": own.alias, "table": own.table or None, "plan": own.plan}
            for own in found
        ]
        return Lines([({**plan.as_json(), "plans": plans},)])

    def look(self, sql: str, params: Any) -> tuple[Plan, list[Own]]:
        """Return the plan, and what servers say of it."""
        plan = self._plan()
        return plan, [*self._of_shards(plan), *self._of_home(plan, sql, params)]

    def _plan(self) -> Plan:
        query = self._compiler.query.clone()
        query.explain_info = None
        plain = query.get_compiler(
            using=self._connection.alias, elide_empty=self._compiler.elide_empty
        )
        return Reading(plain).plan(*plain.as_sql())

    def _of_shards(self, plan: Plan) -> Iterator[Own]:
        for part in plan.parts:
            for alias in part.aliases:
                with naming(alias):
                    rows = self._ask(self._connection_to(alias, plan), part.statement)
                yield Own(alias=alias, table=part.table, plan=self._plain(rows))

    def _connection_to(self, alias: Alias, plan: Plan) -> Any:
        if alias not in [shard.name for shard in self._connection.cluster.shards]:
            return connections[members.for_read(get_topology().clusters[alias])]
        if plan.way == "one shard":
            return connection_to(self._compiler, alias)
        return self._connection.shard_to_read(alias)

    def _ask(self, connection: Any, one: Statement) -> Sequence[Row]:
        ops = connection.ops
        prefix = ops.explain_query_prefix(self._format, **self._options)
        with connection.cursor() as cursor:
            cursor.execute(f"{prefix} {one.sql}", one.params)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def _of_home(self, plan: Plan, sql: str, params: Any) -> Iterator[Own]:
        """Yield what the home server does with the rows, if they are brought to it."""
        if plan.way == "gather" and self._options.get("analyze"):
            rows = Reading(self._compiler).answer(sql, params).fetchall()
            yield Own(alias=plan.home, plan=self._plain(rows))

    def _plain(self, rows: Sequence[Row]) -> Any:
        """Return the lines, or the one value of JSON."""
        if self._is_json:
            found = rows[0][0]
            # Not every driver reads it.
            return json.loads(found) if isinstance(found, str) else found
        lines = (" ".join(map(str, row)) for row in rows)
        return [one for line in lines for one in line.splitlines()]


class Lines(Fetched):
    """The rows of a plan."""

    rowcount = -1
    description = (("QUERY PLAN", None, None, None, None, None, None),)

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = iter(rows)

    def close(self) -> None:
        self._rows = iter(())
