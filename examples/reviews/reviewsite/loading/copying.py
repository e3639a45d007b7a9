"""Takes rows, copies those that are not there yet into a table, as fast as it goes.

PostgreSQL's COPY can't skip rows that exist, so they go through a temporary table.
COPY is no query of Django's, so whoever copies into a sharded table says which shard.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Model

Tick = Callable[[int], None]
TICK = 5000


def copy_new(
    model: type[Model],
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    tick: Tick = lambda rows: None,
    alias: str | None = None,
) -> int:
    """Copy all or nothing; say how many rows were new."""
    alias = alias or router.db_for_write(model)
    table, names = model._meta.db_table, ", ".join(columns)
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE incoming AS"
            f" SELECT {names} FROM {table} WITH NO DATA"
        )
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for number, row in enumerate(rows, 1):
                copy.write_row(row)
                if number % TICK == 0:
                    tick(TICK)
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming"
            f" ON CONFLICT DO NOTHING"
        )
        new = int(cursor.rowcount)
        cursor.execute("DROP TABLE incoming")
        return new


def advance_sequence(model: type[Model]) -> None:
    """Let new rows get ids after the copied ones."""
    alias = router.db_for_write(model)
    table = model._meta.db_table
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id))"
            f" FROM {table} HAVING max(id) IS NOT NULL"
        )
