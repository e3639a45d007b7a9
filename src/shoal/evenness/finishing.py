"""
Takes a sharded cluster, brings each shard up to the migrations that any shard has.

By Django's executor on the shard's own alias. What a migration of data does there
reaches this shard's rows alone; one that writes elsewhere, again, is refused.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.transaction import TransactionManagementError

from shoal.errors import MigrateError, ShoalError
from shoal.evenness.data import without_data
from shoal.evenness.records import Key, lacking, records
from shoal.evenness.references import copy_references
from shoal.placement.buckets import bucket_map
from shoal.placement.scopes import on_shard
from shoal.routing import pinned
from shoal.routing.statements import written_tables
from shoal.topology import Cluster
from shoal.types import Alias

Say = Callable[[str], None]


def finish(cluster: Cluster, *, say: Say) -> None:
    """
    Let every shard have the migrations that any of them has.

    Raises `MigrateError` where one cannot be brought up to the others; what it got
    until then it keeps, and the next call goes on from there.
    """
    behind = lacking(records(cluster))
    if not behind:
        return
    # Makes the shards' own connections know what no shard can check alone.
    connections[cluster.name]
    for alias, keys in behind.items():
        say(_announced(cluster, alias, keys))
        with pinned():
            _Finishing(cluster, alias, say).run(keys)
            complete = [s.name for s in cluster.shards if s.name not in behind]
            if keys and complete:
                copy_references(cluster, complete[0], alias, say=say)


def _announced(cluster: Cluster, alias: Alias, keys: Collection[Key]) -> str:
    if not keys:
        return f"The shard {alias!r} of {cluster.name!r} has no table of migrations."
    count = f"{len(keys)} migration{'s' if len(keys) > 1 else ''}"
    return f"The shard {alias!r} lacks {count} that {cluster.name!r} has."


class _Finishing:
    """One shard on its way to the others."""

    def __init__(self, cluster: Cluster, alias: Alias, say: Say) -> None:
        self._cluster, self._alias, self._say = cluster, alias, say
        self._at: Migration | None = None

    def run(self, keys: Collection[Key]) -> None:
        executor = MigrationExecutor(connections[self._alias], self._progress)
        executor.recorder.ensure_schema()
        if not bucket_map(self._cluster).buckets_of(self._alias):
            # No row is there that a migration of data could mean.
            for migration in executor.loader.graph.nodes.values():
                migration.operations = without_data(migration.operations)
        plan = _plan(executor.loader, keys)
        try:
            with self._alone():
                executor.migrate([], plan=plan)
        except Exception as error:  # Migrations are anybody's code.
            raise self._failed(error) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nothing but this shard be written to."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(on_shard(self._cluster.name, shard=self._alias))
            for alias in {*connections} - {self._alias, self._cluster.name}:
                # A driver that is not installed writes nowhere.
                with contextlib.suppress(ImproperlyConfigured):
                    other = connections[alias]
                    stack.enter_context(other.execute_wrapper(self._refuse))
            mine = connections[self._alias]
            if not mine.features.can_rollback_ddl:
                stack.enter_context(mine.execute_wrapper(_skip_done))
            yield

    def _refuse(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        tables = written_tables(str(sql))
        if tables:
            other = context["connection"].alias
            raise MigrateError(f"it writes {tables[0]} on {other!r}, a second time")
        return execute(sql, params, many, context)

    def _progress(
        self, action: str, migration: Migration | None = None, fake: bool | None = False
    ) -> None:
        if action == "apply_start":
            self._at = migration
        elif action == "apply_success":
            self._say(f"Finished {migration} on {self._alias}.")

    def _failed(self, error: BaseException) -> MigrateError:
        what = str(self._at) if self._at is not None else "Its migrations"
        if isinstance(error, TransactionManagementError):
            # SQLite's schema editor raises it on its way out, whatever came before.
            error = next(filter(_is_cause, _chain(error)), error)
        text = error.message if isinstance(error, ShoalError) else str(error)
        if self._at is None:
            hint = "Mend the cause and run the same again."
        else:
            hint = (
                "Mend the cause and run the same again. Or do by hand what it does to "
                f"the rows of {self._alias!r}, and record it: `manage.py shoal migrate "
                f"{self._at.app_label} {self._at.name} --fake --database "
                f"{self._alias}`."
            )
        return MigrateError(
            f"{what}, which other shards of {self._cluster.name!r} have, could not be "
            f"finished on {self._alias!r}: {text.strip().rstrip('.')}.",
            hint=hint,
        )


def _skip_done(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    """
    Pass over what a run that died has done here already, and could not roll back.

    Another shard has the whole migration, so what stands in the way is of this one.
    """
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        if error.args and error.args[0] in ALREADY_DONE:
            return None
        raise


ALREADY_DONE = frozenset({1050, 1060, 1061, 1091, 1826})
"""
Table, column or key is there; or is not, and was to be dropped; a constraint is there.
https://mariadb.com/kb/en/mariadb-error-code-reference/
"""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _is_cause(error: BaseException) -> bool:
    return not isinstance(error, TransactionManagementError)


def _plan(loader: MigrationLoader, keys: Collection[Key]) -> Any:
    """Return what is missing, each behind what it depends on."""
    done = set(loader.applied_migrations)
    plan = []
    for key in sorted(keys):
        if key not in loader.graph.nodes:
            # Of an app that is gone, or replaced by a squashed one.
            continue
        for step in loader.graph.forwards_plan(key):
            if step not in done:
                done.add(step)
                plan.append((loader.graph.nodes[step], False))
    return plan
