"""Takes a shard that was empty, gives it the rows that every shard has."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connections, transaction

from shoal.placement.layout import layout_of, lives_on
from shoal.sharding.carrying import Source, carry, read_columns
from shoal.topology import Cluster
from shoal.types import Alias


def copy_references(
    cluster: Cluster, source: Alias, target: Alias, *, say: Callable[[str], None]
) -> None:
    """Copy each reference table that has rows on `source` and none on `target`."""
    connection = connections[target]
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
    with transaction.atomic(using=target), connection.constraint_checks_disabled():
        for model in _reference_models(cluster):
            if model._meta.db_table in there and _is_empty(model, target):
                count = _copy(model, source, target)
                if count:
                    rows = f"{count} row{'s' if count > 1 else ''}"
                    say(f"Copied {rows} of {model._meta.label} to {target}.")


def _reference_models(cluster: Cluster) -> list[Any]:
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        and model._meta.managed
        and lives_on(model, cluster)
        and layout_of(model, cluster).kind == "reference"
    ]


def _is_empty(model: Any, alias: Alias) -> bool:
    connection = connections[alias]
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
        return cursor.fetchone() is None


def _copy(model: Any, source: Alias, target: Alias) -> int:
    """Copy all rows as they are, past what fields do to values."""
    here = connections[source]
    quote = here.ops.quote_name
    table, names = model._meta.db_table, _columns(model, source, target)
    listed = read_columns(here, names, table)
    rows = Source(
        connections=[here], sql=f"SELECT {listed} FROM {quote(table)}", params=()
    )
    return carry(connections[target], table, names, rows)


def _columns(model: Any, source: Alias, target: Alias) -> list[str]:
    """Return the columns that both have by now, without those that are computed."""
    wanted = [f.column for f in model._meta.local_concrete_fields if not f.generated]
    for alias in (source, target):
        connection: Any = connections[alias]
        with connection.cursor() as cursor:
            found = connection.introspection.get_table_description(
                cursor, model._meta.db_table
            )
        there = {column.name for column in found}
        wanted = [name for name in wanted if name in there]
    return wanted
