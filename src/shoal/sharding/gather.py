"""
The complete fallback: brings the needed rows to one place, and runs the statement there
unchanged.

Takes the tables that a statement names and where their rows may lie, gives the rows of
its answer.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.db.models import Model
from django.db.models.sql.where import AND, OR, WhereNode

from shoal.errors import GatherTooLarge, QueryRefused, ShoalError
from shoal.placement.layout import Layout
from shoal.sharding.carrying import Source, carry, read_columns
from shoal.sharding.locking import Locking
from shoal.sharding.occurrences import Occurrence
from shoal.sharding.reducing import (
    MOST_VALUES,
    Edge,
    edges,
    next_table,
    own_conditions,
)
from shoal.sharding.scratch import Column
from shoal.sharding.telling import Gathered
from shoal.types import Alias

ALIAS = "T0"
"""What a table is called where its rows are fetched. Django's own begin with T2."""


@dataclass(kw_only=True)
class Table:
    """One table that a statement names, wherever it occurs in it."""

    name: str
    model: type[Model]
    layout: Layout | None
    """`None` where the model lives on another cluster."""
    occurrences: list[Occurrence]
    sources: Sequence[Alias] = ()
    """The aliases that have rows of it which may be needed."""
    fetched: dict[Alias, int] = field(default_factory=dict)
    """How many rows have come from each."""
    condition: str = ""
    """With which they were fetched."""

    @property
    def rows(self) -> int:
        return sum(self.fetched.values())

    @property
    def columns(self) -> list[str]:
        return [f.column for f in self.model._meta.local_concrete_fields if f.column]

    @property
    def primary_key(self) -> list[str]:
        if self.layout is not None and self.layout.kind == "local":
            # Each shard counts for itself.
            return []
        pk: Any = self.model._meta.pk
        fields = getattr(pk, "fields", None) or [pk]
        return [f.column for f in fields]


def tables(
    found: Sequence[Occurrence], layouts: Mapping[Occurrence, Layout | None]
) -> list[Table]:
    """Put the occurrences of each table together."""
    made: dict[str, Table] = {}
    for one in found:
        if one.model is None:
            raise QueryRefused(
                f"A query over several shards names the table {one.table!r}, of which "
                "no model is known.",
                hint="Ask one shard, inside on_shard(), or make a model of it.",
            )
        table = made.get(one.table)
        if table is None:
            table = made[one.table] = Table(
                name=one.table, model=one.model, layout=layouts[one], occurrences=[]
            )
        table.occurrences.append(one)
    return list(made.values())


class Gathering:
    """One statement whose rows are brought together."""

    def __init__(self, compiler: Any, place: Any, sql: str, limit: int) -> None:
        self._compiler, self._place, self._limit = compiler, place, limit
        self._groups = "GROUP BY" in sql
        self._connection = compiler.connection
        self._tables: list[Table] = []
        self._locking: Locking | None = None
        self._locked: list[Any] | None = None

    def lock(self, locking: Locking, primary_keys: list[Any] | None) -> None:
        """Lock rows as they are fetched, and of the main table take only these."""
        self._locking, self._locked = locking, primary_keys

    def bring_all(self, where: Any) -> None:
        """Bring the tables whose rows are not at hand, the smallest first."""
        waiting = [table for table in where.tables() if not where.is_at_hand(table)]
        while waiting:
            table = next_table(waiting, [one.name for one in self._tables])
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
        where, params = self._where(table)
        table.condition = where.removeprefix(" WHERE ")
        self._tables.append(table)
        self._place.make(table.name, self._definition(table), table.primary_key)
        columns = list(self._place.writable(table.name, table.columns))
        for connection in connections:
            self._fill(table, columns, connection, (where, lock), params)
        if len(connections) > 1 and table.primary_key:
            # A query without an order is answered in that of the ids, as by one table.
            self._place.sort(table.name, table.primary_key)
        if self._groups and table.primary_key:
            self._place.index(table.name, table.primary_key)

    def _fill(
        self,
        table: Table,
        columns: list[str],
        connection: Any,
        ends: tuple[str, str],
        params: Sequence[Any],
    ) -> None:
        quote = connection.ops.quote_name
        listed = read_columns(connection, columns, ALIAS)
        left = self._limit - sum(one.rows for one in self._tables)
        where, lock = ends
        sql = (
            f"SELECT {listed} FROM {quote(table.name)} {quote(ALIAS)}{where} "
            f"LIMIT {left + 1}{lock}"
        )
        source = Source(connection=connection, sql=sql, params=params)
        with naming(connection.alias):
            target = self._place.connection
            table.fetched[connection.alias] = 0
            count = carry(target, table.name, columns, source)
            table.fetched[connection.alias] = count
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
                has: Any = one.db_parameters(connection=self._connection)
                # A foreign key, or an automatic one, without what makes it one.
                kind = one.rel_db_type(self._connection) or has["type"]
                collation = has.get("collation")
                if collation:
                    quoted = self._connection.ops.quote_name(collation)
                    kind = f"{kind} COLLATE {quoted}"
                yield Column(name=one.column, type=str(kind))

    def _where(self, table: Table) -> tuple[str, Sequence[Any]]:
        """Return what rows of the table must fulfil, wherever it occurs."""
        either = WhereNode(connector=OR)
        for one in table.occurrences:
            own = [c.relabeled_clone({one.alias: ALIAS}) for c in own_conditions(one)]
            both = [*own, *self._joined(one), *self._among_locked(one)]
            if not both:
                return "", ()
            either.children.append(WhereNode(connector=AND, children=both))
        try:
            sql, params = either.as_sql(self._compiler, self._connection)
        except FullResultSet:
            return "", ()
        except EmptyResultSet:
            return " WHERE 1 = 0", ()
        return f" WHERE {sql}", params

    def _lock_clause(self, table: Table) -> str:
        locking = self._locking
        if locking is None or not any(map(locking.locks, table.occurrences)):
            return ""
        return locking.clause()

    def _among_locked(self, one: Occurrence) -> Iterator[Any]:
        """Yield that a row of the main table is one of those that were locked."""
        is_outermost = one.level is not None and one.level.outer is None
        is_main = is_outermost and getattr(one.join, "parent_alias", None) is None
        if self._locked is not None and is_main:
            yield _Among(self._compiler.query.get_meta().pk.column, self._locked)

    def _joined(self, one: Occurrence) -> Iterator[Any]:
        """Yield that a column has one of the values that the other side has."""
        there = [table.name for table in self._tables]
        for edge in edges(one):
            values = self._values(edge) if edge.table in there else None
            if values is not None:
                yield _Among(edge.column, values)

    def _values(self, edge: Edge) -> list[Any] | None:
        quote = self._connection.ops.quote_name
        column, table = quote(edge.other_column), quote(edge.table)
        with self._place.cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT {column} FROM {table} "
                f"WHERE {column} IS NOT NULL LIMIT {MOST_VALUES + 1}"
            )
            values = [row[0] for row in cursor.fetchall()]
        return values if len(values) <= MOST_VALUES else None

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


@dataclass(frozen=True)
class _Among:
    """A condition of a WHERE, for its compiler."""

    column: str
    values: Sequence[Any]
    contains_aggregate = False
    contains_over_clause = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        if not self.values:
            raise EmptyResultSet
        quote = connection.ops.quote_name
        marks = ", ".join(["%s"] * len(self.values))
        name = f"{quote(ALIAS)}.{quote(self.column)}"
        return f"{name} IN ({marks})", list(self.values)


NAMED = (OperationalError, InterfaceError, ProgrammingError)
"""What tells of a server, or of its tables, and not of a value."""


class naming:
    """Let errors of a server say which shard it is."""

    def __init__(self, alias: Alias) -> None:
        self._alias = alias

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        is_named = getattr(error, "shoal_named", False) or isinstance(error, ShoalError)
        if isinstance(error, NAMED) and not is_named:
            named: Any = type(error)(f"On the shard {self._alias!r}: {error}")
            named.shoal_named = True
            raise named from error


class Rows:
    """The answer of a gathered statement, all of it in memory."""

    def __init__(self, cursor: Any) -> None:
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        self.lastrowid = None
        fetched = cursor.fetchall() if cursor.description else []
        self._rows = iter(fetched)
        if self.description and self.rowcount < 0:
            self.rowcount = len(fetched)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return list(itertools.islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        self._rows = iter(())
