"""
The connection of a sharded alias, for one thread. Holds no server of its own.

Shards are reached through their own aliases' connections, so that
`using("reviews_0")` in the same block sees the same transaction.
"""

import contextlib
import itertools
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property

from shoal.backends.sharded.cursor import ShardedCursor
from shoal.backends.sharded.shard import adopt
from shoal.backends.sharded.transaction import ShardedTransaction
from shoal.errors import SettingsError
from shoal.routing import members
from shoal.sharding.deadlines import watched
from shoal.sharding.scratch import Scratch
from shoal.topology import Cluster, get_topology
from shoal.types import Alias

if TYPE_CHECKING:
    _Base = BaseDatabaseWrapper
else:
    _Base = object


class HomeDriver:
    """
    Stands for the driver's connection, where Django wants to see one.

    Connects to the home shard for whoever uses it: only what quotes values or asks for
    the version of the server does.
    """

    def __init__(self, owner: "ShardedConnection") -> None:
        self._owner = weakref.ref(owner)

    def __getattr__(self, name: str) -> Any:
        owner: Any = self._owner()
        owner.home.ensure_connection()
        return getattr(owner.home.connection, name)

    def close(self) -> None:
        """Leave that to the home shard: it is its connection."""


class Answering:
    """A block in which one more statement is at work: a class, since each query is."""

    __slots__ = ("_statement", "_statements")

    def __init__(self, statements: list[Any], statement: Any) -> None:
        self._statements, self._statement = statements, statement

    def __enter__(self) -> None:
        self._statements.append(self._statement)

    def __exit__(self, *error: object) -> None:
        self._statements.remove(self._statement)


class ShardedConnection(_Base):
    """Goes before the vendor's `DatabaseWrapper` among the bases of a class."""

    over: Any
    _prepare_cursor: Any
    is_sharded = True
    _copies = itertools.count(1)
    _mark = ""
    """What a copy adds to the names by which Django finds its shards' connections."""
    changes_tables = False
    """Whether a schema editor is open, whose tables nobody else can see."""

    def __init__(self, settings_dict: dict[str, Any], alias: Alias) -> None:
        self._cluster: Cluster = get_topology().clusters[alias]
        self._driver = HomeDriver(self)
        self._is_open = False
        self.statements: list[Any] = []
        """What answers the statements of the compilers at work, innermost last."""
        self.transaction = ShardedTransaction(self)
        super().__init__(settings_dict, alias)
        for shard in self.cluster.shards:
            # Its test database is made with ours.
            connections.settings[shard.name]["TEST"]["MIRROR"] = alias
            adopt(connections[shard.name], weakref.ref(self))

    @property
    def connection(self) -> Any:
        return self._driver if self._is_open else None

    @connection.setter
    def connection(self, value: Any) -> None:
        self._is_open = value is not None

    @property
    def cluster(self) -> Cluster:
        """What the setting says; what it said last, once it says nothing of it."""
        try:
            found = get_topology().clusters.get(self.alias)
        except SettingsError:
            return self._cluster
        if found is not None and found.shards:
            self._cluster = found
        return self._cluster

    @property
    def home(self) -> Any:
        """Django's connection to the home shard."""
        return connections[self.registered(self.cluster.home.name)]

    def registered(self, shard: Alias) -> Alias:
        """Return the name by which Django finds our connection to a shard."""
        return f"{shard}{self._mark}"

    @cached_property
    def scratch(self) -> Scratch:
        return Scratch(self.cluster.home.name)

    def shard(self, alias: Alias) -> Any:
        """Return the connection to write to a shard, inside of our transaction."""
        connection = connections[self.registered(alias)]
        self.transaction.join(connection)
        return watched(connection)

    def shard_to_read(self, alias: Alias) -> Any:
        """Return a connection to read from a shard: its primary, or a replica."""
        if self.in_transaction or self._mark:
            return self.shard(alias)
        _, shard = get_topology().by_alias[alias]
        chosen = members.for_read(shard) if shard.replicas else alias
        return watched(connections[chosen])

    @property
    def in_transaction(self) -> bool:
        return self._is_open and bool(self.in_atomic_block or not self.autocommit)

    # Opening and closing.

    @async_unsafe
    def connect(self) -> None:
        self.check_settings()
        self.in_atomic_block = False
        self.savepoint_ids: list[str] = []
        self.atomic_blocks: list[Any] = []
        self.needs_rollback = False
        self.closed_in_transaction = False
        self.errors_occurred = False
        self.health_check_enabled = False
        self.health_check_done = True
        self.close_at = None
        self._is_open = True
        self.autocommit = bool(self.settings_dict["AUTOCOMMIT"])
        self.run_on_commit: list[Any] = []

    @async_unsafe
    def close(self) -> None:
        """Roll back, and close the shards' connections that nobody else has in use."""
        self.validate_thread_sharing()
        if self.vendor == "sqlite" and self.is_in_memory_db():
            # With its connection such a database would be gone.
            return
        self.run_on_commit = []
        if self.closed_in_transaction or not self._is_open:
            return
        try:
            self.transaction.abandon()
            if "scratch" in self.__dict__:
                self.scratch.close()
            for connection in self.shard_connections():
                if not connection.in_atomic_block:
                    connection.close()
        finally:
            if self.in_atomic_block:
                self.closed_in_transaction = True
                self.needs_rollback = True
            else:
                self._is_open = False

    def _close(self) -> None:
        """There is no connection of the driver's own to be closed."""

    def close_if_unusable_or_obsolete(self) -> None:
        """Shards see to their own connections; this one goes with the transaction."""
        if self._is_open:
            if self.autocommit != self.settings_dict["AUTOCOMMIT"]:
                self.close()
            elif "scratch" in self.__dict__:
                self.scratch.close_if_unusable_or_obsolete()

    def close_if_health_check_failed(self) -> None:
        pass

    def is_usable(self) -> bool:
        return all(
            connection.is_usable()
            for connection in self.shard_connections()
            if connection.connection is not None
        )

    def is_in_memory_db(self) -> bool:
        return bool(self.home.is_in_memory_db())

    def shard_connections(self) -> Iterator[Any]:
        for shard in self.cluster.shards:
            yield connections[self.registered(shard.name)]

    # Statements.

    def create_cursor(self, name: str | None = None) -> ShardedCursor:
        return ShardedCursor(self, is_chunked=name is not None)

    @async_unsafe
    def cursor(self) -> Any:
        return self._cursor()

    @async_unsafe
    def chunked_cursor(self) -> Any:
        return self._cursor(name="chunked")

    def _cursor(self, name: str | None = None) -> Any:
        self.ensure_connection()
        return self._prepare_cursor(self.create_cursor(name))

    @contextlib.contextmanager
    def temporary_connection(self) -> Iterator[Any]:
        """Ask the home shard what Django wants to know of a server."""
        self.ensure_connection()
        with self.home.temporary_connection() as cursor:
            yield cursor

    def answering(self, statement: Any) -> Answering:
        """Let `statement` answer what cursors of this block execute."""
        return Answering(self.statements, statement)

    # Transactions.

    def _set_autocommit(self, autocommit: bool) -> None:
        if autocommit:
            self.transaction.end()

    def _start_transaction_under_autocommit(self) -> None:
        """SQLite begins so. The shards begin when they are first touched."""

    def _commit(self) -> None:
        self.transaction.commit()

    def _rollback(self) -> None:
        self.transaction.rollback()

    def _savepoint(self, sid: str) -> None:
        self.transaction.savepoint(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        self.transaction.savepoint_rollback(sid)

    def _savepoint_commit(self, sid: str) -> None:
        self.transaction.savepoint_commit(sid)

    def _savepoint_allowed(self) -> bool:
        return bool(self.features.uses_savepoints and self.in_transaction)

    # Constraints.

    def check_constraints(self, table_names: Any = None) -> None:
        for shard in self.cluster.shards:
            self.shard(shard.name).check_constraints(table_names)

    def disable_constraint_checking(self) -> bool:
        done = [c.disable_constraint_checking() for c in self._all_shards()]
        return all(done)

    def enable_constraint_checking(self) -> None:
        for connection in self._all_shards():
            # What an error has left there would keep Django from asking.
            needs, connection.needs_rollback = connection.needs_rollback, False
            try:
                connection.enable_constraint_checking()
            finally:
                connection.needs_rollback = needs

    def _all_shards(self) -> list[Any]:
        return [self.shard(shard.name) for shard in self.cluster.shards]

    def copy(self, alias: Alias | None = None) -> Any:
        """Return a connection with copies of its own of the shards' connections."""
        mine = {c.alias: c for c in self.shard_connections()}
        made = super().copy(self.alias)
        made.alias = self.alias if alias is None else alias
        made._mark = f" (copy {next(self._copies)})"
        for name, connection in mine.items():
            # The new object has taken them for its own.
            adopt(connection, weakref.ref(self))
            copied = connection.copy()
            adopt(copied, weakref.ref(made))
            connections[made.registered(name)] = copied
            weakref.finalize(made, _forget, made.registered(name))
        return made


def _forget(name: Alias) -> None:
    """Let Django find the connection no more, unless that is another thread's."""
    with contextlib.suppress(AttributeError):
        del connections[name]
