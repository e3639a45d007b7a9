"""Takes keys, gives rows of one server: raw, in batches, under one snapshot."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db import connections, transaction
from django.db.models import F, JSONField, QuerySet, TextField
from django.db.models.functions import Cast

from shoal.publishing.tables import ModelClass, Row, Table
from shoal.types import Alias

T = TypeVar("T")
BATCH = 2000
"""Keys asked for, or rows sent, in one statement."""
COMPOSITE_BATCH = 250
"""SQLite takes a condition on keys of several fields only so deep."""


def rows_all(model: ModelClass, alias: Alias) -> "QuerySet[Any]":
    """Every row of the table, whatever a manager of the model would leave out."""
    return QuerySet(model=model, using=alias).order_by()


def matching(
    model: ModelClass, alias: Alias, lookup: str, keys: Iterable[Any]
) -> "Iterator[QuerySet[Any]]":
    """Split `lookup IN keys` into as many querysets as the server needs."""
    composite = lookup == "pk" and len(getattr(model._meta, "pk_fields", ())) > 1
    most = connections[alias].features.max_query_params or BATCH
    size = COMPOSITE_BATCH if composite else min(BATCH, most)
    for batch in batches(list(keys), size):
        yield rows_all(model, alias).filter(**{f"{lookup}__in": batch})


def read(
    table: Table,
    alias: Alias,
    lookup: str,
    keys: Iterable[Any],
    *,
    lock: bool = False,
) -> Iterator[Row]:
    columns = [
        # As text, JSON is copied to the last digit, and `null` is not taken for NULL.
        Cast(F(field.attname), TextField())
        if isinstance(field, JSONField)
        else field.attname
        for field in table.fields
    ]
    for queryset in matching(table.model, alias, lookup, keys):
        if lock:
            queryset = queryset.select_for_update()
        yield from queryset.values_list(*columns)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextlib.contextmanager
def snapshot(alias: Alias) -> Iterator[None]:
    """
    Let every read of the block see the same moment.

    Inside a transaction that is open already, reads see what that one sees.
    """
    connection = connections[alias]
    inside = connection.in_atomic_block or not connection.get_autocommit()
    level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    if connection.vendor == "mysql" and not inside:
        # Speaks of the next transaction, and must come before it begins.
        with connection.cursor() as cursor:
            cursor.execute(level)
    with transaction.atomic(using=alias):
        if connection.vendor == "postgresql" and not inside:
            # Must be the first statement.
            with connection.cursor() as cursor:
                cursor.execute(f"{level}, READ ONLY")
        yield
