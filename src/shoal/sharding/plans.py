"""
Takes a query, gives how one of the same shape was answered before.

A shape is a model and the SQL, whose values are not in it. All that was proven of one
query of a shape holds of each: which tables lie together, which condition says where
their rows are, and what rows are merged by. The value of that condition is looked at
each time, and so is the bucket map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import AND, WhereNode

from shoal.errors import ShoalError
from shoal.placement.buckets import bucket_map
from shoal.placement.schemes import Scheme
from shoal.sharding.folding import Fold
from shoal.sharding.ordering import OrderKeys
from shoal.sharding.places import values_of
from shoal.topology import Cluster
from shoal.types import Alias

MOST = 1000
"""Shapes of one model. A project has fewer; where it builds endless ones, all go."""
_KEPT = "_shoal_plans"
_COMPARING = (Exact, In)


@dataclass(frozen=True, slots=True)
class Pinned:
    """One condition says where every row is."""

    path: tuple[int, ...]
    """Where it stands in the tree of conditions, as positions among children."""
    alias: str
    column: str
    scheme: Scheme

    def shard(self, query: Any, cluster: Cluster) -> Alias | None:
        """Return the shard of all rows; `None` if this query does not say it so."""
        node = query.where
        for position in self.path:
            # The same SQL may be of other nodes, if some of them have no SQL.
            if not _is_and(node) or position >= len(node.children):
                return None
            node = node.children[position]
        column = node.lhs if isinstance(node, _COMPARING) else None
        if type(column) is not Col or column.alias != self.alias:
            return None
        values = values_of(node) if column.target.column == self.column else None
        if not values:
            return None
        buckets, bucket = bucket_map(cluster), self.scheme.bucket
        try:
            found = buckets.shard_of(bucket(values[0]))
            for value in values[1:]:
                if buckets.shard_of(bucket(value)) != found:
                    return None
        except ShoalError:
            return None
        return found


@dataclass(frozen=True, slots=True)
class Apart:
    """Every shard answers its part, whatever the values are."""

    sql: str
    keys: OrderKeys
    folds: Sequence[Fold]


Shape: TypeAlias = Pinned | Apart


def plans_of(query: Any, cluster: Cluster) -> dict[str, Shape]:
    """Return the plans for queries of this model, by their SQL."""
    model = query.model
    if model is None:
        return {}
    # Kept on the class, so that a model of a migration's history is not kept for ever.
    kept = model.__dict__.get(_KEPT)
    if kept is None or kept[0] is not cluster:
        kept = (cluster, {})
        setattr(model, _KEPT, kept)
    found: dict[str, Shape] = kept[1]
    if len(found) > MOST:
        found.clear()
    return found


def path_to(node: Any, tree: Any) -> tuple[int, ...] | None:
    """Return the way to a condition that has to hold of every row."""
    if tree is node:
        return ()
    if _is_and(tree):
        for position, child in enumerate(tree.children):
            path = path_to(node, child)
            if path is not None:
                return (position, *path)
    return None


def _is_and(node: Any) -> bool:
    is_tree = isinstance(node, WhereNode)
    return is_tree and node.connector == AND and not node.negated
