"""
The complete fallback: brings the needed rows to one place, and runs the statement there
unchanged.

Takes the tables that a statement names and where their rows may lie, gives the rows of
its answer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from shoal.errors import GatherTooLarge
from shoal.sharding.carrying import Source, carry_each, read_columns
from shoal.sharding.locking import Locking
from shoal.sharding.narrowing import ALIAS, Narrowing
from shoal.sharding.reducing import next_table
from shoal.sharding.rows import Fetched
from shoal.sharding.scratch import Column, column_type
from shoal.sharding.tables import Table
from shoal.sharding.telling import Gathered


class Gathering:
    """One statement whose rows are brought together."""

    def __init__(self, compiler: Any, scratch: Any, sql: str, limit: int) -> None:
        self._scratch, self._limit = scratch, limit
        self._narrowing = Narrowing(compiler, scratch)
        self._groups = "GROUP BY" in sql
        self._connection = compiler.connection
        self._tables: list[Table] = []
        self._locking: Locking | None = None

    def lock(self, locking: Locking) -> None:
        """Lock rows as they are fetched."""
        self._locking = locking

    def keep(self, primary_keys: list[Any] | None) -> None:
        """Take only these rows of the main table; `None`: all that may matter."""
        self._narrowing.kept = primary_keys

    def bring_all(self, where: Any) -> None:
        """Bring the tables whose rows are not at hand, the smallest first."""
        waiting = [table for table in where.tables() if not where.is_at_hand(table)]
        while waiting:
            there = [one.name for one in self._tables]
            table = self._narrowing.first(waiting) or next_table(waiting, there)
            waiting.remove(table)
            self.bring(table, where.connections(table))

    def told(self, where: Any) -> list[Gathered]:
        """Return what was needed of each table."""
        return [
            Gathered(
                table=table.name,
                because=where.reason(table.occurrences[0]),
                rows=dict(table.fetched),
                where=table.condition,
            )
            for table in self._tables
        ]

    def bring(self, table: Table, connections: Sequence[Any]) -> None:
        """Make the table, and fill it from these connections."""
        lock = self._lock_clause(table)
        there = [one.name for one in self._tables]
        where, params = self._narrowing.where(table, there)
        table.condition = where.removeprefix(" WHERE ")
        self._tables.append(table)
        self._scratch.make(table.name, self._definition(table), table.primary_key)
        columns = list(self._scratch.writable(table.name, table.columns))
        self._fill(table, columns, connections, (where, lock), params)
        if len(connections) > 1 and table.primary_key:
            # A query without an order is answered in that of the ids, as by one table.
            self._scratch.sort(table.name, table.primary_key)
        if self._groups and table.primary_key:
            self._scratch.index(table.name, table.primary_key)

    def _fill(
        self,
        table: Table,
        columns: list[str],
        connections: Sequence[Any],
        ends: tuple[str, str],
        params: Sequence[Any],
    ) -> None:
        if not connections:
            return
        quote = connections[0].ops.quote_name
        listed = read_columns(connections[0], columns, ALIAS)
        left = self._limit - sum(one.rows for one in self._tables)
        where, lock = ends
        sql = (
            f"SELECT {listed} FROM {quote(table.name)} {quote(ALIAS)}{where} "
            f"LIMIT {left + 1}{lock}"
        )
        source = Source(connections=connections, sql=sql, params=params)
        target = self._scratch.connection
        carried = carry_each(target, table.name, columns, source)
        with contextlib.closing(carried):
            for alias, count in carried:
                table.fetched[alias] = count
                if sum(one.rows for one in self._tables) > self._limit:
                    raise self._too_large(table)

    def _definition(self, table: Table) -> list[Column] | None:
        """Return the columns as the model has them; `None`: as the home shard has."""
        sqlite = self._connection.vendor == "sqlite"
        # A shard's own rows may have the primary keys of another's.
        is_shared = table.layout is not None and table.layout.kind != "local"
        # A migration that is at work may have locked it: who asks would wait for ever.
        is_shared = is_shared and not self._connection.changes_tables
        if is_shared and table.model._meta.managed and not sqlite:
            return None
        return list(self._as_modelled(table))

    def _as_modelled(self, table: Table) -> Iterator[Column]:
        for one in table.model._meta.local_concrete_fields:
            if one.column:
                kind = column_type(one, self._connection)
                yield Column(name=one.column, type=kind)

    def _lock_clause(self, table: Table) -> str:
        locking = self._locking
        if locking is None or not any(map(locking.locks, table.occurrences)):
            return ""
        return locking.clause()

    def _too_large(self, table: Table) -> GatherTooLarge:
        sizes = ", ".join(f"{one.name}: {one.rows}" for one in self._tables)
        key = ", ".join(table.layout.key) if table.layout else ""
        way = (
            f"Filter {table.model._meta.label} by its key ({key}), "
            if key
            else "Filter further, "
        )
        return GatherTooLarge(
            f"A query over the shards of {self._connection.alias!r} needs more than "
            f"MAX_GATHER_ROWS = {self._limit} rows (so far {sizes}).",
            hint=f"{way}so that one shard can answer, or raise MAX_GATHER_ROWS.",
        )


class Rows(Fetched):
    """The answer of a gathered statement, all of it in memory."""

    def __init__(self, cursor: Any, width: int | None = None) -> None:
        """`width`: columns of the answer; after them come others, for its order."""
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        fetched = cursor.fetchall() if cursor.description else []
        self._rows = iter(fetched)
        if width is not None:
            self._rows = (row[:width] for row in fetched)
        if self.description and self.rowcount < 0:
            self.rowcount = len(fetched)

    def close(self) -> None:
        self._rows = iter(())
