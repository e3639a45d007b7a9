"""
Unique values that change hands. Takes what is to be written, gives what is in its way.

Servers look at unique constraints row by row, so two rows can't just swap their values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.publishing.difference import Difference, certainly_the_same
from shoal.publishing.reading import BATCH, batches, rows_all
from shoal.publishing.removal import Doomed
from shoal.publishing.tables import Key, ModelClass, Row, Table, unique_positions
from shoal.types import Alias

DELETES_ON_ITS_OWN = """
SELECT 1 FROM pg_constraint
WHERE contype = 'f' AND confrelid = %s::regclass AND confdeltype NOT IN ('a', 'r')
"""


@dataclass(frozen=True, kw_only=True)
class Hindrance:
    """Rows of one table that hold values which other rows may be about to take."""

    table: Table
    changed: Mapping[Key, Row]
    """Rows to be written again, as they are to be."""
    doomed: tuple[Key, ...]


def hindrances(
    parts: tuple[Difference, ...], doomed: Doomed
) -> dict[ModelClass, Hindrance]:
    """Return, by model, the rows that would free unique values by going. Pure."""
    found = {}
    for part in parts:
        positions = unique_positions(part.table)
        if positions == frozenset() or not (part.new or part.changed):
            continue
        changed = {
            part.table.key_of(row): row
            for row in part.changed
            if _differ(row, part.before[part.table.key_of(row)], positions)
        }
        going = tuple(doomed.get(part.table.model, ()))
        if changed or going:
            found[part.table.model] = Hindrance(
                table=part.table, changed=changed, doomed=going
            )
    return found


def _differ(row: Row, old: Row, positions: frozenset[int] | None) -> bool:
    return positions is None or not all(
        certainly_the_same(row[p], old[p]) for p in positions
    )


def take_away(found: Mapping[ModelClass, Hindrance], alias: Alias) -> bool:
    """
    Delete these rows, and these alone, to be written again.

    `False`, and nothing deleted, where the server would delete or change more rows
    because of it, or does not let them go.
    """
    connection = connections[alias]
    if any(_others_hang_on(connection, item.table) for item in found.values()):
        return False
    try:
        with transaction.atomic(using=alias):
            for item in found.values():
                for batch in batches([*item.changed, *item.doomed], BATCH):
                    rows = rows_all(item.table.model, alias).filter(pk__in=batch)
                    rows._raw_delete(alias)
    except IntegrityError:
        return False
    return True


def _others_hang_on(connection: BaseDatabaseWrapper, table: Table) -> bool:
    """Say whether the server itself deletes or changes rows that refer to a row."""
    for relation in table.model._meta.related_objects:
        # Django 6.1's DB_CASCADE, DB_SET_NULL and DB_SET_DEFAULT
        if hasattr(getattr(relation, "on_delete", None), "on_delete_sql"):
            return True
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        name = connection.ops.quote_name(table.model._meta.db_table)
        cursor.execute(DELETES_ON_ITS_OWN, [name])
        return cursor.fetchone() is not None
