"""
Takes aliases, gives which migrations each one lacks.

Reads the files of the migrations once for all of them.
"""

from collections.abc import Iterable
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from shoal.evenness import Key
from shoal.placement.models import OWN_APP
from shoal.topology import get_topology
from shoal.topology.probe.asking import is_missing_file
from shoal.types import Alias


class History(MigrationLoader):
    """The migrations on disk, read before, beside what one database has applied."""

    def __init__(
        self, connection: BaseDatabaseWrapper | None, disk: MigrationLoader
    ) -> None:
        self._disk = disk
        super().__init__(connection)

    def load_disk(self) -> None:
        self.migrated_apps = self._disk.migrated_apps
        self.unmigrated_apps = self._disk.unmigrated_apps
        # Of its own, since Django puts operations into them before they are applied.
        # Without the tables of Shoal's own where no cluster needs them.
        self.disk_migrations = {
            key: type(migration)(migration.name, migration.app_label)
            for key, migration in self._disk.disk_migrations.items()
            if key[0] != OWN_APP or get_topology().control is not None
        }


class Executor(MigrationExecutor):
    """Django's executor on a `History`."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        disk: MigrationLoader,
        progress_callback: Any = None,
    ) -> None:
        self.connection = connection
        self.loader = History(connection, disk)
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = progress_callback


def read_disk() -> MigrationLoader:
    """Read the files of all migrations; ask no database."""
    return MigrationLoader(None, ignore_no_migrations=True)


def label(key: Key) -> str:
    return ".".join(key)


def unapplied(
    aliases: Iterable[Alias], disk: MigrationLoader
) -> dict[Alias, list[Key] | None]:
    """Return what each alias lacks, in the order of the graph; `None`: can't tell."""
    found: dict[Alias, list[Key] | None] = {}
    for alias in aliases:
        connection = connections[alias]
        try:
            absent = is_missing_file(connection)
            history = History(None if absent else connection, disk)
        except DatabaseError:
            found[alias] = None
        else:
            found[alias] = [
                key
                for key in full_order(history)
                if key not in history.applied_migrations
            ]
    return found


def full_order(loader: MigrationLoader) -> list[Key]:
    """Return every migration, each behind what it depends on."""
    found: dict[Key, None] = {}
    for leaf in loader.graph.leaf_nodes():
        found.update(dict.fromkeys(loader.graph.forwards_plan(leaf)))
    return list(found)
