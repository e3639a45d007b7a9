"""One publishing at a time into one edition: an alias's transaction that waits."""

import contextlib
from collections.abc import Iterator

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.errors import PublishError
from shoal.publishing.tables import ModelClass
from shoal.types import Alias

LOCK = int.from_bytes(b"shoalpub", "big")
LONGEST_WAIT = 3600
"""Seconds, where the server wants a number."""


@contextlib.contextmanager
def turn(alias: Alias, model: ModelClass) -> Iterator[None]:
    """
    Open the transaction and wait until no other publishing into the edition runs.

    Whoever comes later has read the source later, so an older state never overwrites
    a newer one.
    """
    connection = connections[alias]
    if connection.vendor == "mysql":
        with _named_lock(connection), transaction.atomic(using=alias):
            yield
        return
    with transaction.atomic(using=alias):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        elif connection.vendor == "sqlite":
            _take_write_lock(connection, model)
        yield


@contextlib.contextmanager
def _named_lock(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """MySQL's locks outlive the transaction: held until it is committed."""
    name = f"shoal.publishing.{connection.settings_dict['NAME']}"[:64]
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", [name, LONGEST_WAIT])
        if cursor.fetchone() != (1,):
            raise PublishError(
                f"Another publishing into {connection.alias!r} is still running "
                f"after {LONGEST_WAIT} seconds.",
                hint="Nothing was changed. Look for it among the server's processes.",
            )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT RELEASE_LOCK(%s)", [name])


def _take_write_lock(connection: BaseDatabaseWrapper, model: ModelClass) -> None:
    """
    Write nothing, but be the writer from now on.

    SQLite refuses at once to turn a transaction that has read into one that writes,
    if another wrote in between.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE 1 = 0")
