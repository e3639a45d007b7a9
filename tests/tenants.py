"""A tenant's schema on PostgreSQL: the project reads from it first, Shoal does not."""

import contextlib
from collections.abc import Iterable, Iterator

from django.db import connections

PATHS = ("tenant, public", "tenant")


@contextlib.contextmanager
def tenant(alias: str, path: str, tables: Iterable[str] = ()) -> Iterator[None]:
    """Read from a schema `tenant`, which has empty tables of the same names."""
    with connections[alias].cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS tenant CASCADE; CREATE SCHEMA tenant")
        for table in tables:
            copied = f"tenant.{table} (LIKE public.{table} INCLUDING ALL)"
            cursor.execute(f"CREATE TABLE {copied}")
        cursor.execute(f"SET search_path = {path}")
    try:
        yield
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("RESET search_path; DROP SCHEMA tenant CASCADE")
