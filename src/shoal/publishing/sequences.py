"""Moves sequences past copied keys, so that a row created later gets a free one."""

from collections.abc import Iterable

from django.core.management.color import no_style
from django.db import connections
from django.db.models import AutoField

from shoal.publishing.difference import Difference
from shoal.publishing.tables import Table
from shoal.types import Alias

ADVANCE = """
SELECT setval(pg_get_serial_sequence(%(table)s, %(column)s), %(key)s)
WHERE COALESCE(
    pg_sequence_last_value(pg_get_serial_sequence(%(table)s, %(column)s)::regclass), 0
) < %(key)s
"""


def advance(written: Iterable[Difference], alias: Alias) -> None:
    """
    Move each sequence forward, never back.

    `sequence_reset_sql` would set it to the highest key that is visible here, below
    one that another transaction has taken and not committed yet.
    """
    connection = connections[alias]
    for part in written:
        position = _automatic(part.table)
        if position is None or not part.new:
            continue
        highest = max(row[position] for row in part.new)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                meta = part.table.model._meta
                where = {
                    "table": connection.ops.quote_name(meta.db_table),
                    "column": part.table.fields[position].column,
                    "key": highest,
                }
                if highest > 0:
                    cursor.execute(ADVANCE, where)
            else:
                reset = connection.ops.sequence_reset_sql
                for statement in reset(no_style(), [part.table.model]):
                    cursor.execute(statement)


def _automatic(table: Table) -> int | None:
    for position in table.key_positions:
        if isinstance(table.fields[position], AutoField):
            return position
    return None
