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
        f"SET LOCAL lock_timeout = '{WAIT_FOR_LOCKS}s'",
    ),
    "mysql": (
        f"SET SESSION innodb_lock_wait_timeout = {WAIT_FOR_LOCKS}, "
        f"lock_wait_timeout = {WAIT_FOR_LOCKS}",
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
    """The open control database. SQL has its names in double quotes."""

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
    def transaction(self) -> Iterator[None]:
        """
        Commit at the end, unless the project has a transaction: then it will.

        Tests share a connection of SQLite between threads, which take turns here.
        """
        with self.connection.__dict__.setdefault("_shoal_turn", threading.RLock()):
            if self.is_in_transaction:
                yield
            else:
                with self._begun():
                    yield

    @contextlib.contextmanager
    def _begun(self) -> Iterator[None]:
        for sql in _BEGIN[self.vendor]:
            self._begin(sql)
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
                is_open = self.connection.connection.in_transaction
                if not (is_open and self.is_in_memory) or time.monotonic() > end:
                    raise
                time.sleep(0.005)

    def missing(self) -> list[type[Model]]:
        """Return the models whose tables are not there."""
        with (
            self.connection.wrap_database_errors,
            contextlib.closing(self.connection.create_cursor()) as cursor,
        ):
            tables = self.connection.introspection.get_table_list(cursor)
        there = {table.name for table in tables}
        return [model for model in TABLES if model._meta.db_table not in there]


def goes_apart() -> bool:
    """Say whether the control database is asked over a connection apart."""
    return connections[control_alias()].vendor != "sqlite"


@contextlib.contextmanager
def reached() -> Iterator[Control]:
    """Open the control database for a block, whether its tables are there or not."""
    alias = control_alias()
    if not goes_apart():
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
