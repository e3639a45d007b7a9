"""Takes the shop on a kind of server, gives the table of the vendor's types there."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import NotSupportedError, connections, transaction
from django.test import override_settings

from shoal.placement.buckets import BUCKETS
from shoal.routing import unguarded
from tests.sharded.shop import SHARDS, SHOP, TWIN, setting
from tests.typed.models import MODEL_OF

FOLDED = (
    "CREATE COLLATION IF NOT EXISTS shoal_folded "
    "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
)
"""Calls texts equal that differ in accents and cases."""
NOT_FOLDED = 'CREATE COLLATION IF NOT EXISTS shoal_folded FROM "POSIX"'
"""For a server that was built without ICU."""


@contextlib.contextmanager
def typed_table(**options: Any) -> Iterator[Any]:
    """Let the app live in the shop for a block, with its table and empty."""
    shoal = setting(**options)
    shoal["CLUSTERS"][SHOP]["APPS"].append("typed")
    with override_settings(
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.typed"], SHOAL=shoal
    ):
        model = MODEL_OF[connections[TWIN].vendor]
        _make(model)
        yield model


def _make(model: Any) -> None:
    if connections[TWIN].vendor == "postgresql":
        for alias in (*SHARDS, TWIN):
            with unguarded(alias), connections[alias].cursor() as cursor:
                try:
                    cursor.execute(FOLDED)
                except NotSupportedError:
                    cursor.execute(NOT_FOLDED)
    for alias in (SHOP, TWIN):
        connection = connections[alias]
        if model._meta.db_table not in connection.introspection.table_names():
            with unguarded(alias), connection.schema_editor() as editor:
                editor.create_model(model)


@contextlib.contextmanager
def both() -> Iterator[None]:
    """Take back at the end what a block writes to the shards and to the twin."""
    with (
        unguarded(TWIN),
        transaction.atomic(using=SHOP),
        transaction.atomic(using=TWIN),
    ):
        yield
        for alias in (SHOP, TWIN):
            transaction.set_rollback(True, using=alias)


def spread(count: int) -> list[int]:
    """Return primary keys, on all shards in turn; those of one do not follow."""
    size = BUCKETS // len(SHARDS)
    return [n * BUCKETS + n * 3 % len(SHARDS) * size + 7 for n in range(1, count + 1)]
