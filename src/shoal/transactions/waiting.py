"""
Takes a connection, lets it wait in an atomic block that begins when it is needed.

Django takes it for one in the block already. What it calls before it uses a server for
anything is, on this object and until then, what begins the block.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import Error, transaction


def wait(connection: Any, begin: Callable[[], None]) -> None:
    """Let it wait, outside of any block; `begin` has to end that first."""
    block = transaction.Atomic(connection.alias, savepoint=True, durable=False)
    connection.in_atomic_block = True
    connection.commit_on_exit = True
    connection.needs_rollback = False
    connection.atomic_blocks.append(block)
    connection.ensure_connection = begin
    # A cursor that is open already asks for nothing else.
    connection.validate_no_broken_transaction = partial(_begun_first, connection)
    # What is found to be dead inside of an atomic block is never opened again.
    connection.close_if_health_check_failed = _later
    connection.is_usable = partial(_usable, connection)
    # A test that forbids the alias has put something there, which stays.
    vars(connection).setdefault("temporary_connection", _BegunFirst(connection))


def end_waiting(connection: Any) -> None:
    """Let the connection be as it was before, however far this has come already."""
    own = vars(connection)
    for replaced in (
        "ensure_connection",
        "validate_no_broken_transaction",
        "close_if_health_check_failed",
        "is_usable",
    ):
        own.pop(replaced, None)
    if isinstance(own.get("temporary_connection"), _BegunFirst):
        del own["temporary_connection"]
    if connection.closed_in_transaction:
        # By the block's own code, while nothing was open.
        connection.connection = None
    connection.in_atomic_block = False
    connection.needs_rollback = False
    connection.atomic_blocks.clear()
    connection.savepoint_ids.clear()


def push(connection: Any, blocks: Sequence[transaction.Atomic]) -> None:
    """Let Django see blocks that it has entered, which have no savepoints."""
    connection.atomic_blocks += blocks
    connection.savepoint_ids += [None] * len(blocks)


def _begun_first(connection: Any) -> None:
    """Begin what waits, before a statement is sent."""
    connection.ensure_connection()
    connection.validate_no_broken_transaction()


def _usable(connection: Any) -> bool:
    """Open the connection to say so: inside of a block it is taken for an open one."""
    try:
        connection.ensure_connection()
    except Error:
        return False
    return bool(connection.is_usable())


class _BegunFirst:
    """
    Begins what waits, before Django asks the server about itself.

    Else Django would close afterwards what it has opened, and the transaction with it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(self) -> Any:
        self._connection.ensure_connection()
        return self._connection.temporary_connection()


def _later() -> None:
    """The connection is looked after when its transaction begins."""
