"""
Takes SQL, sends it to the control database, past what the project does there.

On PostgreSQL, MySQL and MariaDB over a connection apart, opened for the purpose: what
is written stays when the project rolls back, what the project forbids its connections
(Django's tests do) does not matter, and nothing is left open that would keep a test
database from being dropped. SQLite lets one connection write at a time, so there it
goes over the project's own, inside its transaction if there is one.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

from django.db import DatabaseError, Error, OperationalError, connections
from django.db.models import Model

from shoal.errors import MapMissing, SettingsError
from shoal.models import ClusterRow, DirectoryRow, RangeRow, SequenceRow
from shoal.topology import get_topology
from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

TABLES: tuple[type[Model], ...] = (ClusterRow, RangeRow, SequenceRow, DirectoryRow)
WAIT_FOR_LOCKS = 10
"""
Seconds. Longer than anything here holds a lock, so who waits longer waits for a
transaction of the project, which perhaps waits for us: no server would find out.
"""
_BEGIN = {
    "postgresql": (
        # Whatever the project prefers: a row that was just changed is no failure.
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        "SET LOCAL lock_timeout = '{wait}s'",
    ),
    "mysql": (
        "SET SESSION innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}",
        "START TRANSACTION",
    ),
    "sqlite": ("BEGIN IMMEDIATE",),
}
Place: TypeAlias = tuple[str, ...]


def control_alias() -> Alias:
    """Return the alias of the control database, or raise `SettingsError`."""
    alias = get_topology().control
    if alias is None:
        raise SettingsError(
            "The project has no control database, since no cluster of it is sharded.",
            hint='Name an alias: SHOAL = {"CONTROL": "default", ...}.',
        )
    return alias


def place() -> Place:
    """
    Return where the control database is at the moment.

    What a process keeps from there it keeps under this: a test database is another.
    """
    alias = control_alias()
    at = connections.settings[alias]
    return alias, str(at["HOST"]), str(at["PORT"]), str(at["NAME"])


class Control:
    """An open database with tables of Shoal's. SQL has its names in double quotes."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.vendor: str = connection.vendor

    @property
    def is_in_transaction(self) -> bool:
        """Whether the project has one open here, and may roll back what is written."""
        if self.vendor != "sqlite":
            return False
        own = self.connection
        return bool(
            own.in_atomic_block or not own.autocommit or own.connection.in_transaction
        )

    @property
    def is_in_memory(self) -> bool:
        return self.vendor == "sqlite" and self.connection.is_in_memory_db()

    def run(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return all rows; none for what is not a query."""
        with self._sent(sql, params) as cursor:
            rows = cursor.fetchall() if cursor.description else []
        return [tuple(map(_decoded, row)) for row in rows]

    def change(self, sql: str, *params: Any) -> int:
        """Return how many rows were changed."""
        with self._sent(sql, params) as cursor:
            return int(cursor.rowcount)

    @contextlib.contextmanager
    def _sent(self, sql: str, params: tuple[Any, ...]) -> Iterator[Any]:
        """
        Send a statement past Django's cursor.

        So no execute wrapper runs, and no test that counts the project's queries counts
        these.
        """
        if self.vendor == "mysql":
            sql = sql.replace('"', "`")
            # Bytes, as `ExactText` keeps them.
            params = tuple(p.encode() if isinstance(p, str) else p for p in params)
        with (
            self.connection.wrap_database_errors,
            contextlib.closing(self.connection.create_cursor()) as cursor,
        ):
            cursor.execute(sql, params or None)
            yield cursor

    @contextlib.contextmanager
    def transaction(self, *, wait: int = WAIT_FOR_LOCKS) -> Iterator[None]:
        """
        Commit at the end, unless the project has a transaction: then it will.

        Waits so many seconds for a lock; on SQLite as long as the project's setting.
        Tests share a connection of SQLite between threads, which take turns here.
        """
        with self.connection.__dict__.setdefault("_shoal_turn", threading.RLock()):
            if self.is_in_transaction:
                yield
            else:
                with self._begun(wait):
                    yield

    @contextlib.contextmanager
    def _begun(self, wait: int) -> Iterator[None]:
        for sql in _BEGIN[self.vendor]:
            self._begin(sql.format(wait=wait))
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with contextlib.suppress(Error):
                self.run("ROLLBACK")
            raise

    def _begin(self, sql: str) -> None:
        """Begin, where the project has begun in another thread once that has ended."""
        end = time.monotonic() + WAIT_FOR_LOCKS
        while True:
            try:
                self.run(sql)
                return
            except OperationalError:
                if not self._is_begun_elsewhere or time.monotonic() > end:
                    raise
                time.sleep(0.005)

    @property
    def _is_begun_elsewhere(self) -> bool:
        """Whether threads share a database in memory, and another has begun."""
        return self.is_in_memory and bool(self.connection.connection.in_transaction)

    def missing(self, models: tuple[type[Model], ...] = TABLES) -> list[type[Model]]:
        """Return the models whose tables are not there."""
        with (
            self.connection.wrap_database_errors,
            contextlib.closing(self.connection.create_cursor()) as cursor,
        ):
            tables = self.connection.introspection.get_table_list(cursor)
        there = {table.name for table in tables}
        return [model for model in models if model._meta.db_table not in there]

    def create_missing(self, models: tuple[type[Model], ...] = TABLES) -> None:
        """Create the tables that are not there; others may do the same meanwhile."""
        for model in self.missing(models):
            try:
                for sql in self._definition(model):
                    self.run(sql)
            except DatabaseError:
                # Somebody else may have been faster.
                if model in self.missing(models):
                    raise

    def _definition(self, model: type[Model]) -> list[str]:
        """
        Return the SQL of Django's schema editor.

        Not sent by it, as it would be by Django's cursor, which a test may forbid.
        """
        editor: Any = self.connection.schema_editor()
        editor.deferred_sql = []
        sql, _ = editor.table_sql(model)
        indexes = [index.create_sql(model, editor) for index in model._meta.indexes]
        return [sql, *map(str, editor.deferred_sql), *map(str, indexes)]


def goes_apart(alias: Alias | None = None) -> bool:
    """Say whether a database, or the control one, is asked over a connection apart."""
    return connections[alias or control_alias()].vendor != "sqlite"


@contextlib.contextmanager
def reached(alias: Alias | None = None) -> Iterator[Control]:
    """Open a database, or the control one, for a block, with its tables or without."""
    alias = alias or control_alias()
    if not goes_apart(alias):
        with _borrowed(connections[alias]) as connection:
            yield Control(connection)
        return
    connection = open_apart(alias)
    connection.settings_dict["AUTOCOMMIT"] = True
    try:
        _connect(connection)
        yield Control(connection)
    finally:
        close(connection)


@contextlib.contextmanager
def reached_tables() -> Iterator[Control]:
    """Open the control database; raise `MapMissing` where it lacks a table."""
    with reached() as control:
        try:
            yield control
        except DatabaseError as error:
            missing = None
            with contextlib.suppress(Error):
                missing = [model._meta.db_table for model in control.missing()]
            if not missing:
                raise
            raise MapMissing(
                f"The control database {control.connection.alias!r} has no table "
                f"{missing[0]!r}.",
                hint="Run `manage.py shoal migrate`.",
            ) from error


@contextlib.contextmanager
def _borrowed(connection: Any) -> Iterator[Any]:
    """Connect the project's own connection, if it is not, and only for the block."""
    was_open = connection.connection is not None
    if not was_open:
        _connect(connection)
    try:
        yield connection
    finally:
        if not (was_open or connection.is_in_memory_db()):
            connection.close()


def _connect(connection: Any) -> None:
    """
    Connect as the class does.

    In a test that does not list the alias, `connect` of the project's connection and
    everybody's `ensure_connection` are Django's, and raise.
    """
    with connection.wrap_database_errors:
        type(connection).connect(connection)


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
