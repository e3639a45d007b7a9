"""
Takes a model before and after a migration, refuses a new key for rows that are there.

They lie where the old one says, and nobody would find them by the new one.
"""

from typing import Any

from shoal.errors import KeyChangeRefused
from shoal.placement.layout import Layout, layout_of, lives_on


def require_same_key(
    connection: Any, before: Any, after: Any, renamed: tuple[str, str]
) -> None:
    """
    Raise `KeyChangeRefused` if rows would have to move.

    `renamed` is a column of the table, as it was called and as it will be.
    """
    cluster = connection.cluster
    if not (lives_on(before, cluster) and lives_on(after, cluster)):
        return
    old, new = layout_of(before, cluster), layout_of(after, cluster)
    if _way(old, dict([renamed])) == _way(new, {}) or not _has_rows(connection, before):
        return
    to = _named(new)
    to += " of another type" if to == _named(old) else ""
    raise KeyChangeRefused(
        f"A migration would change the key of {before._meta.label} from "
        f"{_named(old)} to {to}, but rows lie on the shards by the old one.",
        hint="Copy the rows to a new model that has the new key, or empty the table "
        "first.",
    )


def _way(layout: Layout, renamed: dict[str, str]) -> object:
    """Return what says where a row is."""
    key = tuple(renamed.get(column, column) for column in layout.key)
    return layout.kind, key, layout.scheme


def _named(layout: Layout) -> str:
    return ", ".join(layout.key) or f"none ({layout.kind})"


def _has_rows(connection: Any, model: Any) -> bool:
    table = connection.ops.quote_name(model._meta.db_table)
    for shard in connection.cluster.shards:
        with connection.shard(shard.name).cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
            if cursor.fetchone():
                return True
    return False
