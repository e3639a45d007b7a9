"""
Takes rows, puts them into one edition, raw: as they are, with their primary keys.

No `save()` is called and no signal sent, and `auto_now` is left alone, as for
`bulk_create`. A statement that fails is repeated in halves, to name the row at fault.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from django.db import DatabaseError, connections, transaction
from django.db.models import JSONField
from django.db.models.constants import OnConflict
from django.db.models.expressions import Func, Value
from django.db.models.sql import InsertQuery

from shoal.errors import PublishError, ShoalError
from shoal.publishing.reading import BATCH
from shoal.publishing.tables import Row, Table
from shoal.types import Alias

MOST_TEXT = 2_000_000
"""Characters in one statement: far below MySQL's smallest usual packet."""

REFUSALS = (DatabaseError, OverflowError, TypeError, ValueError)
"""By the server, or by the driver before it: a NUL in a text, for PostgreSQL."""


class JSONText(Func):
    """JSON that is text already."""

    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s)::jsonb")


def insert(table: Table, rows: Sequence[Row], alias: Alias) -> None:
    """Insert new rows."""
    _in_batches(table, rows, alias, lambda batch: _send(table, batch, alias))


def update(table: Table, rows: Sequence[Row], alias: Alias) -> None:
    """Overwrite rows that are there, each found by its primary key."""
    connection = connections[alias]
    keys = [table.fields[position] for position in table.key_positions]
    names_target = connection.features.supports_update_conflicts_with_target
    options = {
        "on_conflict": OnConflict.UPDATE,
        "update_fields": [table.fields[p] for p in table.data_positions],
        "unique_fields": keys if names_target else [],
    }
    _in_batches(table, rows, alias, lambda batch: _send(table, batch, alias, **options))


def _send(table: Table, rows: Sequence[Row], alias: Alias, **options: Any) -> None:
    names = [field.attname for field in table.fields]
    json = [p for p, f in enumerate(table.fields) if isinstance(f, JSONField)]
    objects: list[Any] = [
        SimpleNamespace(**dict(zip(names, _with_json(row, json), strict=True)))
        for row in rows
    ]
    query = InsertQuery(table.model, **options)
    query.insert_values(table.fields, objects, raw=True)
    query.get_compiler(using=alias).execute_sql()


def _with_json(row: Row, positions: list[int]) -> Row:
    if not positions:
        return row
    values = list(row)
    for position in positions:
        if values[position] is not None:
            values[position] = JSONText(Value(values[position]))
    return tuple(values)


def _in_batches(
    table: Table, rows: Sequence[Row], alias: Alias, write: Callable[[Any], None]
) -> None:
    most = connections[alias].ops.bulk_batch_size(table.fields, rows)
    for batch in _by_size(rows, min(most, BATCH)):
        try:
            with transaction.atomic(using=alias):
                write(batch)
        except ShoalError:
            raise
        except REFUSALS as error:
            culprit = _culprit(batch, alias, write)
            raise RowRefused(table, culprit, alias, error) from error


class RowRefused(PublishError):
    """The server did not take this row."""

    def __init__(self, table: Table, row: Row, alias: Alias, cause: Exception) -> None:
        super().__init__(
            f"{table.label} {table.key_of(row)!r} could not be written on {alias!r}: "
            f"{str(cause).strip()}",
            hint="Nothing was changed. If another object there has what must be "
            "unique, publish that one along with it, or unpublish it first.",
        )


def _culprit(rows: Sequence[Row], alias: Alias, write: Callable[[Any], None]) -> Row:
    """Return the first row that is refused, by halves."""
    while len(rows) > 1:
        first, rest = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        try:
            with transaction.atomic(using=alias):
                write(first)
            rows = rest
        except REFUSALS:
            rows = first
    return rows[0]


def _by_size(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    text = 0
    for row in rows:
        size = sum(len(v) for v in row if isinstance(v, str | bytes | memoryview))
        if batch and (len(batch) >= most or text + size > MOST_TEXT):
            yield batch
            batch, text = [], 0
        batch.append(row)
        text += size
    if batch:
        yield batch
