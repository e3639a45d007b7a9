"""
Takes a kind of server, gives the cluster `shop` of four shards on it, and its `twin`.

The twin is one plain database of the same kind. Rows are made on the sharded alias and
copied to the twin, so that both have the same primary keys.
"""

import contextlib
import copy
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.test import override_settings

from shoal.placement.buckets import get_ready
from shoal.routing import unguarded
from shoal.topology import Cluster, get_topology
from tests.integration.publishing.conftest import aliases
from tests.sharded.models import MODELS

SHOP, TWIN, CONTROL = "shop", "twin", "shop_control"
SHARDS = ("shop_0", "shop_1", "shop_2", "shop_3")
SINGLE = (*SHARDS, TWIN, CONTROL)
"""The aliases that are a database."""
SHARDED = {"ENGINE": "shoal.backends.sharded"}
Databases = dict[str, dict[str, Any]]
_on_twin: ContextVar[bool] = ContextVar("on_twin", default=False)


class ToTwin:
    """A router for what has to be asked while the twin answers."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        is_ours = model._meta.app_label == "sharded"
        return TWIN if _on_twin.get() and is_ours else None

    db_for_write = db_for_read


@contextlib.contextmanager
def routed_to(alias: str) -> Iterator[None]:
    """Let the twin be the only database there is, if it is to answer."""
    token = _on_twin.set(alias == TWIN)
    try:
        yield
    finally:
        _on_twin.reset(token)


def setting(**more: Any) -> dict[str, Any]:
    """Return the setting of the tests with the cluster `shop`."""
    found = copy.deepcopy(settings.SHOAL)
    found["CLUSTERS"][SHOP] = {"APPS": ["sharded"], "SHARDS": list(SHARDS), **more}
    found["CONTROL"] = CONTROL
    return found


@contextlib.contextmanager
def shop_on(databases: Databases, **options: Any) -> Iterator[None]:
    """Let these databases be the shop for a block, with its tables and empty."""
    with contextlib.ExitStack() as stack:
        # The sharded alias is closed first, while its cluster is still there.
        stack.enter_context(
            override_settings(
                INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.sharded"],
                SHOAL=setting(**options),
                DATABASE_ROUTERS=[
                    "tests.sharded.shop.ToTwin",
                    *settings.DATABASE_ROUTERS,
                ],
            )
        )
        stack.enter_context(aliases({SHOP: SHARDED, **databases}))
        make_tables()
        yield


def cluster() -> Cluster:
    return get_topology().clusters[SHOP]


def make_tables() -> None:
    """Make them where they aren't: the servers stay for the whole session."""
    get_ready(cluster())
    for alias in (SHOP, TWIN):
        connection = connections[alias]
        there = connection.introspection.table_names()
        if "sharded_tag" not in there:
            with connection.schema_editor() as editor:
                for model in MODELS:
                    editor.create_model(model)


def empty() -> None:
    """Delete all rows, without a word to the sharded alias."""
    for alias in (*SHARDS, TWIN):
        connection = connections[alias]
        with (
            unguarded(alias),
            connection.constraint_checks_disabled(),
            transaction.atomic(using=alias),
            connection.cursor() as cursor,
        ):
            for table in reversed(tables()):
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def forget_transactions() -> None:
    """Let a transaction that a failed test has left open not spoil the next test."""
    if any(connections[alias].in_atomic_block for alias in (SHOP, *SHARDS)):
        for alias in (SHOP, *SHARDS):
            connections[alias].close()
            del connections[alias]


def tables() -> list[str]:
    """Return the names of all tables, what is pointed to first."""
    return [model._meta.db_table for model in every_model()]


def every_model() -> list[Any]:
    """Return the models, and those behind many-to-many fields."""
    fields = [f for model in MODELS for f in model._meta.local_many_to_many]
    return [*MODELS, *(field.remote_field.through for field in fields)]


def copy_to_twin() -> None:
    """Write the rows of the shards to the twin, as they are."""
    with (
        unguarded(TWIN),
        routed_to(TWIN),
        connections[TWIN].constraint_checks_disabled(),
        transaction.atomic(using=TWIN),
    ):
        for model in MODELS:
            parents = list(model._meta.parents)
            for row in model._base_manager.using(SHOP).all():
                copied = copy.copy(row)
                copied.save_base(raw=True, force_insert=True, using=TWIN)
                assert not parents or row.pk == copied.pk
            for field in model._meta.local_many_to_many:
                through = field.remote_field.through
                rows = list(through._base_manager.using(SHOP).all())
                through._base_manager.using(TWIN).bulk_create(rows)
