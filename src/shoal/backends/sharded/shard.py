"""
Takes the connection object of a shard, and lets it know its sharded alias.

The object gets a class made over its own. Touching the shard inside a transaction of
the sharded alias joins that transaction, and where a test may use the sharded alias it
may use the shards.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.backends.sharded.relaxing import relaxing_over
from shoal.backends.sharded.strays import operations_over

if TYPE_CHECKING:
    _Base = BaseDatabaseWrapper
else:
    _Base = object

CALLED_BY_TESTS = ("connect", "temporary_connection", "cursor", "chunked_cursor")
"""What Django replaces on the connection of each alias that a test does not name."""


def adopt(connection: Any, owner: Callable[[], Any]) -> None:
    """Let the connection belong to what `owner()` is, that of the sharded alias."""
    kinds: list[Any] = [type(connection), type(connection.creation)]
    kinds.append(type(connection.ops))
    if not isinstance(connection, ShardConnection):
        connection.__class__ = class_over(kinds[0])
    # A copy that Django makes has the class, and not yet these.
    if not isinstance(connection.creation, ShardCreation):
        connection.creation.__class__ = creation_over(kinds[1])
        connection.SchemaEditorClass = relaxing_over(connection.SchemaEditorClass)
        connection.ops.__class__ = operations_over(kinds[2])
    connection.shoal_owner = owner


class ShardConnection(_Base):
    """Goes before the vendor's `DatabaseWrapper` among the bases of a class."""

    shoal_owner: Any = staticmethod(lambda: None)
    """Returns its owner: none for a copy that Django makes."""

    def _cursor(self, name: str | None = None) -> Any:
        owner = self.shoal_owner()
        if owner is not None:
            owner.transaction.join(self)
        return super()._cursor(*([] if name is None else [name]))  # type: ignore[misc]

    def validate_no_broken_transaction(self) -> None:
        """Join before a statement of a cursor that was open before the block."""
        owner = self.shoal_owner()
        begins = owner is not None and owner.in_transaction
        if begins and not owner.transaction.has_joined(self.alias):
            owner.transaction.join(self)
        super().validate_no_broken_transaction()

    def get_autocommit(self) -> bool:
        """
        Join before a block of the shard's own begins, which is a part of it then.

        `atomic()` asks this first. It was in autocommit until now, so that is the
        answer; then `atomic()` looks whether a block is open, and there is.
        """
        owner = self.shoal_owner()
        begins = owner is not None and owner.in_transaction and not self.in_atomic_block
        if begins and not owner.transaction.has_joined(self.alias):
            owner.transaction.join(self)
            return True
        return super().get_autocommit()

    def temporary_connection(self) -> Any:
        owner = self.shoal_owner()
        if owner is not None and owner.in_transaction:
            # Or it would be closed afterwards, and the transaction with it.
            self.ensure_connection()
        return super().temporary_connection()

    def ensure_connection(self) -> None:
        owner = self.shoal_owner()
        if self.connection is not None or owner is None:
            super().ensure_connection()
            return
        try:
            # Where a test forbids the sharded alias, this says so.
            owner.ensure_connection()
        except AssertionError:
            super().ensure_connection()
            return
        if self.in_atomic_block and self.closed_in_transaction:
            raise ProgrammingError("Cannot open a new connection in an atomic block.")
        with self.wrap_database_errors:
            self.connect()


class Called:
    """A method that a test may have forbidden, though it allows the sharded alias."""

    def __init__(self, name: str, method: Any) -> None:
        self._name, self._method = name, method

    def __get__(self, instance: Any, kind: type) -> Any:
        if instance is None:
            return self._method
        bound = self._method.__get__(instance, kind)
        put = instance.__dict__.get(self._name)
        if put is None:
            return bound
        return put if _is_forbidden(put, instance, self._name) else _Allowed(bound, put)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value

    def __delete__(self, instance: Any) -> None:
        instance.__dict__.pop(self._name, None)


class _Allowed:
    """The method itself, with what a test looks for when it takes its own away."""

    def __init__(self, method: Any, put: Any) -> None:
        self._method = method
        self.wrapped = getattr(put, "wrapped", put)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._method(*args, **kwargs)


def _is_forbidden(put: Any, instance: Any, name: str) -> bool:
    """Say whether what was put there is to be called, and not the method."""
    if not hasattr(put, "wrapped"):
        # Not a test that forbids: put back by one, or somebody else's.
        return True
    owner = instance.shoal_owner()
    return owner is None or hasattr(owner.__dict__.get(name), "wrapped")


@functools.cache
def class_over(vendor: type) -> type:
    """Return the class of shards over a vendor's."""
    module = {"__module__": vendor.__module__}
    over = type(vendor.__name__, (ShardConnection, vendor), module)
    called = {name: Called(name, getattr(over, name)) for name in CALLED_BY_TESTS}
    return type(vendor.__name__, (over,), {**module, **called})


class ShardCreation:
    """A shard's test database is made with that of the sharded alias."""

    connection: Any
    _copy: str | None = None
    """The copy that this process uses, if tests run side by side."""

    def set_as_test_mirror(self, primary_settings_dict: dict[str, Any]) -> None:
        pass

    def setup_worker_connection(self, _worker_id: Any) -> None:
        # The sharded alias asks for it. So does Django, where a test lists the shard.
        if self._copy is None or self._copy != self.connection.settings_dict["NAME"]:
            super().setup_worker_connection(_worker_id)  # type: ignore[misc]
            self._copy = self.connection.settings_dict["NAME"]


@functools.cache
def creation_over(vendor: type) -> type:
    """Return what makes a shard's test database, over a vendor's."""
    return type(
        vendor.__name__, (ShardCreation, vendor), {"__module__": vendor.__module__}
    )
