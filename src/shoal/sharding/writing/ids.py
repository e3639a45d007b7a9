"""Takes a model of a sharded cluster, gives numbers for its automatic primary keys."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import connections

from shoal.placement import sequences
from shoal.placement.buckets import BUCKETS
from shoal.placement.layout import Layout
from shoal.sharding.naming import naming
from shoal.types import Alias

BEYOND = 2**62
"""Ids from here on are nobody's next: a column of 64 bits would soon be at its end."""


class Ids:
    """The sequence of one table's automatic primary keys."""

    def __init__(self, connection: Any, model: Any, layout: Layout) -> None:
        self._connection, self._layout = connection, layout
        self._cluster = connection.cluster
        self._meta = model._meta

    def allot(self, count: int, fits: Callable[[int], bool] | None) -> list[int]:
        """Return the next numbers; those that do not fit are nobody's any more."""
        found: list[int] = []
        while len(found) < count:
            numbers = sequences.next_ids(
                self._cluster,
                self._meta.db_table,
                count - len(found),
                largest=self._largest,
            )
            found += filter(fits, numbers) if fits else numbers
        return found

    def seen(self, values: Iterable[Any]) -> None:
        """Let no id come again that somebody has given to a row."""
        whole = [v for v in values if isinstance(v, int) and v < BEYOND]
        if whole:
            self._raise(max(whole))

    def follow(self) -> None:
        """Let the next id be above all that are there."""
        self._raise(self._largest(), whole=False)

    def _raise(self, value: int, *, whole: bool = True) -> None:
        number = self._number(value) if whole else value
        if number > 0:
            sequences.raise_to(
                self._cluster, self._meta.db_table, number, largest=self._largest
            )

    def _number(self, value: int) -> int:
        return value // BUCKETS if self._layout.ids == "bucketed" else value

    def _largest(self) -> int:
        """Return the largest number that any shard has in an id."""
        found = (self._largest_on(shard.name) for shard in self._cluster.shards)
        return self._number(max(found))

    def _largest_on(self, alias: Alias) -> int:
        connection = connections[alias]
        quote = connection.ops.quote_name
        column, table = quote(self._meta.pk.column), quote(self._meta.db_table)
        with naming(alias), connection.cursor() as cursor:
            cursor.execute(f"SELECT MAX({column}) FROM {table}")
            return int(cursor.fetchone()[0] or 0)
