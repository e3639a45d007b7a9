"""
Takes a constraint of a model, gives whether each shard can check it alone.

Where it can, the database is left to it, as without shards. Asks no server.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.models import ForeignKey

from shoal.placement.keys import AnyField
from shoal.placement.layout import Layout, layout_of, lives_on
from shoal.placement.shapes import key_parts
from shoal.topology import Cluster


def enforces(field: AnyField, cluster: Cluster, *, model: Any = None) -> bool:
    """
    Say whether every row that the foreign key points to is where its own row is.

    So it is if the target is a reference table, if both are on the home shard, or if
    the two columns give the bucket of their rows, in the same way.
    """
    if not isinstance(field, ForeignKey):
        return False
    end = field.target_field
    if not lives_on(end.model, cluster):
        return False
    source = layout_of(model or field.model, cluster)
    target = layout_of(end.model, cluster)
    if target.kind == "reference":
        return source.kind in ("sharded", "reference", "home")
    if source.kind == target.kind == "home":
        return True
    here = source.locators.get(str(field.column))
    return (
        here is not None
        and here == target.locators.get(str(end.column))
        and here.is_exact(vendor_of(cluster))
    )


def enforces_unique(model: Any, fieldnames: Iterable[str], cluster: Cluster) -> bool:
    """
    Say whether two rows that are equal in these fields are on one shard.

    So it is if the key is among them, or another column that gives the bucket. Takes
    names of fields, or of their attributes.
    """
    names = [model._meta.pk.name if n == "pk" else n for n in fieldnames]
    fields = [f for name in names for f in key_parts(model._meta.get_field(name))]
    # What a multi-table child inherits is a column of its parent.
    layouts = [layout_of(end, cluster) for end in {f.model for f in fields} or {model}]
    columns = {str(field.column) for field in fields}
    return all(_enforces_unique(layout, columns, cluster) for layout in layouts)


def vendor_of(cluster: Cluster) -> str:
    """Return the vendor of the cluster's servers, as Django's backends name it."""
    return connections[cluster.home.primary].vendor


def _enforces_unique(layout: Layout, columns: set[str], cluster: Cluster) -> bool:
    if layout.kind != "sharded":
        return True
    vendor = vendor_of(cluster)
    if any(layout.prunes(column, vendor) for column in columns):
        return True
    scheme = layout.scheme
    return scheme is not None and scheme.is_exact(vendor) and columns >= {*layout.key}
