"""
Takes the tables that a statement names, gives the shards that have the rows it needs.

Asks the bucket map, and where a table may be missing, the shards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections
from django.db.models.expressions import Col

from shoal.placement.buckets import bucket_map
from shoal.placement.layout import Layout, layout_of
from shoal.placement.models import get_placement
from shoal.routing import members
from shoal.sharding.colocation import anchors, gives_bucket
from shoal.sharding.deadlines import watched
from shoal.sharding.occurrences import Level, Occurrence
from shoal.sharding.places import Buckets, Places, place_of
from shoal.sharding.plans import Pinned, path_to
from shoal.sharding.tables import Table, tables
from shoal.sharding.telling import Reason, Why
from shoal.topology import Cluster, get_topology
from shoal.topology.probe.asking import is_missing_file
from shoal.types import Alias

_WORST_FIRST: tuple[Reason, ...] = (
    "another cluster",
    "no key",
    "several keys",
    "every shard",
    "key",
    "home",
    "reference",
    "no table",
)
"""Of the tables of one statement, the first of these decides how it is answered."""


class Where:
    """Where the rows lie that a statement needs."""

    def __init__(self, connection: Any, found: Sequence[Occurrence]) -> None:
        self._connection = connection
        self._cluster: Cluster = connection.cluster
        self._found = list(found)
        self._layouts = {one: self._layout(one) for one in self._found}
        self._solved = Places(self._found, self._layouts, connection.vendor)
        self._places = self._solved.buckets
        self._names = [shard.name for shard in self._cluster.shards]

    def _layout(self, one: Occurrence) -> Layout | None:
        if one.model is None or self._foreign(one) is not None:
            return None
        return layout_of(one.model, self._cluster)

    def _foreign(self, one: Occurrence) -> Cluster | None:
        """Return the cluster of a model that lives elsewhere."""
        name = get_placement().cluster_of(one.model) if one.model else None
        if name is None or name == self._cluster.name:
            return None
        return get_topology().clusters.get(name)

    @property
    def is_anywhere(self) -> bool:
        """Whether every shard has all rows that are needed."""
        return all(
            layout is not None and layout.kind == "reference"
            for layout in self._layouts.values()
        )

    def only_shard(self) -> Alias | None:
        """Return the shard that has every row which is needed, if there is one."""
        needed: set[Alias] = set()
        anywhere = True
        for one in self._found:
            layout = self._layouts[one]
            if layout is None:
                return None
            if layout.kind == "reference":
                continue
            anywhere = False
            found = self._shards(layout, self._places[one])
            if len(found) > 1:
                return None
            needed.update(found)
        if len(needed) == 1:
            return needed.pop()
        return self._names[0] if anywhere or not needed else None

    def has_pins(self) -> bool:
        """Say whether any condition names buckets."""
        return bool(self._solved.pinning)

    def pinned(self, query: Any) -> Pinned | None:
        """Return the one condition that says of all tables where their rows are."""
        query = getattr(query, "inner_query", query)
        pinning = self._solved.pinning
        pin = pinning[0] if len(pinning) == 1 else None
        path = path_to(pin[1], query.where) if pin else None
        if pin is None or path is None or pin[0].query is not query:
            return None
        column = pin[1].lhs
        pinned = [
            one for one in self._found if place_of(one) == (id(pin[0]), column.alias)
        ]
        layout = self._layouts[pinned[0]] if pinned and type(column) is Col else None
        if layout is None or not self._all_lie_with(pinned[0]):
            return None
        name = str(column.target.column)
        return Pinned(path, column.alias, name, layout.locators[name])

    def _all_lie_with(self, other: Occurrence) -> bool:
        return all(
            layout is not None
            and (
                layout.kind == "reference"
                or (
                    layout.kind == "sharded"
                    and self._places[one] == self._places[other]
                )
            )
            for one, layout in self._layouts.items()
        )

    def anchors(self, base: Level) -> list[Occurrence]:
        """Return the tables whose rows say which shard makes a row of the answer."""
        vendor, equals = self._connection.vendor, self._solved.equals
        return anchors(self._found, self._layouts, equals, base, vendor)

    def gives_bucket(self, expression: Any, among: Sequence[Occurrence]) -> bool:
        """Say whether equal values of an expression are always on one shard."""
        return gives_bucket(expression, among, self._layouts, self._connection.vendor)

    def shards_of(self, one: Occurrence) -> list[Alias]:
        """Return the shards that have rows of a table which are needed."""
        layout = self._layouts[one]
        return self._shards(layout, self._places[one]) if layout else self._names

    def shards(self) -> list[Alias]:
        """Return the shards that have rows which are needed."""
        found = {
            shard
            for one in self._found
            if (layout := self._layouts[one]) is not None
            for shard in self._shards(layout, self._places[one])
        }
        return [name for name in self._names if name in found]

    def buckets(self) -> Buckets:
        """Return the buckets of the first table's rows, `None` if nobody knows."""
        return self._places[self._found[0]] if self._found else None

    def why(self) -> Why:
        """Say why these shards. Asked for the log alone."""
        reasons = [self.reason(one) for one in self._found] or ["no table"]
        because = min(reasons, key=_WORST_FIRST.index)
        if because == "key":
            # One shard for each, but not the same.
            because = "key" if self.only_shard() else "several keys"
        named = self._solved.pins()
        columns = [f"{one.table}.{name}" for one in named for name in named[one]]
        if because == "key" and columns and not self._is_key(named):
            because = "primary key"
        return Why(because=because, columns=tuple(dict.fromkeys(columns)))

    def reason(self, one: Occurrence) -> Reason:
        layout = self._layouts[one]
        if layout is None:
            return "another cluster"
        if layout.kind != "sharded":
            return "every shard" if layout.kind == "local" else layout.kind
        buckets = self._places[one]
        if buckets is None:
            return "no key"
        return "several keys" if len(self._shards(layout, buckets)) > 1 else "key"

    def _is_key(self, named: Mapping[Occurrence, Sequence[str]]) -> bool:
        """Say whether any of the columns is a key, and no mere primary key."""
        return any(
            layout is not None and name in layout.key
            for one in named
            for layout in (self._layouts[one],)
            for name in named[one]
        )

    def _shards(self, layout: Layout, buckets: Buckets) -> list[Alias]:
        if layout.kind in ("home", "reference"):
            return self._names[:1]
        if layout.kind == "local" or buckets is None:
            return self._names
        shards = bucket_map(self._cluster)
        found = {shards.shard_of(bucket) for bucket in buckets}
        return [name for name in self._names if name in found]

    def tables(self) -> list[Table]:
        made = tables(self._found, self._layouts)
        for table in made:
            table.sources = self._sources(table)
        return made

    def _sources(self, table: Table) -> list[Alias]:
        if table.layout is None:
            cluster = self._foreign(table.occurrences[0])
            assert cluster is not None
            return [cluster.name]
        if table.layout.kind == "local":
            return [name for name in self._names if self._has(name, table)]
        found = {
            shard
            for one in table.occurrences
            for shard in self._shards(table.layout, self._places[one])
        }
        return [name for name in self._names if name in found]

    def is_at_hand(self, table: Table) -> bool:
        """Say whether the scratch connection sees these rows in their own table."""
        if table.layout is None or table.layout.kind not in ("reference", "home"):
            return False
        if self._connection.vendor == "sqlite":
            return False
        home = self._connection.home
        return not (home.in_atomic_block or self._connection.in_transaction)

    def _has(self, alias: Alias, table: Table) -> bool:
        """Say whether a shard, perhaps a new one, has the table yet."""
        connection = self._connection.shard(alias)
        if is_missing_file(connection):
            return False
        with connection.cursor() as cursor:
            return table.name in connection.introspection.table_names(cursor)

    def connections(self, table: Table) -> list[Any]:
        """Return the connections that have rows of a table."""
        return [self._connection_to(alias, table) for alias in table.sources]

    def _connection_to(self, alias: Alias, table: Table) -> Any:
        if table.layout is not None and table.layout.kind == "local":
            # What a shard has of its own decides what is done there: no replica.
            return self._connection.shard(alias)
        if alias in self._names:
            return self._connection.shard_to_read(alias)
        cluster = get_topology().clusters[alias]
        return watched(connections[members.for_read(cluster)])
