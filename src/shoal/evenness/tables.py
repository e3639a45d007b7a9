"""
Takes shards, gives the tables and columns that some of them have and others lack.

Where a server cannot roll back a change of a table (MariaDB, MySQL), a migration that
died half way leaves such a difference, and no record of it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from django.apps import apps
from django.db import connections

from shoal.placement.layout import lives_on
from shoal.topology import Cluster
from shoal.topology.probe.asking import is_missing_file
from shoal.types import Alias

Columns: TypeAlias = Mapping[str, frozenset[str]]
"""By table."""

_ASK: Mapping[str, str] = {
    "postgresql": "SELECT table_name, column_name FROM information_schema.columns "
    "WHERE table_schema = ANY (current_schemas(false))",
    "mysql": "SELECT table_name, column_name FROM information_schema.columns "
    "WHERE table_schema = DATABASE()",
    "sqlite": "SELECT m.name, c.name FROM sqlite_master m "
    "JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
}


def uneven_tables(cluster: Cluster) -> dict[Alias, list[str]]:
    """Ask every shard; return what each lacks, as `table` or `table.column`."""
    wanted = _tables_of(cluster)
    return differences({s.name: columns(s.name) for s in cluster.shards}, wanted)


def columns(alias: Alias) -> Columns:
    """Ask one shard for all of its tables."""
    connection: Any = connections[alias]
    if is_missing_file(connection):
        return {}
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_ASK[connection.vendor])
        for table, column in cursor.fetchall():
            found.setdefault(str(table), set()).add(str(column))
    return {table: frozenset(names) for table, names in found.items()}


def differences(
    found: Mapping[Alias, Columns], wanted: Collection[str]
) -> dict[Alias, list[str]]:
    """Return what each shard lacks that another one has, of these tables. Pure."""
    lacks: dict[Alias, list[str]] = {alias: [] for alias in found}
    for table in sorted(wanted):
        known = frozenset[str]().union(*(of.get(table, ()) for of in found.values()))
        for alias, of in found.items():
            lacks[alias] += _lacking(table, known, of.get(table))
    return {alias: names for alias, names in lacks.items() if names}


def _lacking(
    table: str, known: Iterable[str], there: frozenset[str] | None
) -> list[str]:
    if there is None:
        return [table] if known else []
    return [f"{table}.{column}" for column in sorted(set(known) - there)]


def _tables_of(cluster: Cluster) -> set[str]:
    return {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if lives_on(model, cluster) and model._meta.managed
    }
