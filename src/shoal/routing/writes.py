"""
Takes writes as they happen, gives the position that the unit of work must not miss.

A write inside a transaction counts when that is committed, and not if it is rolled
back. The position is asked for once, when somebody needs it.
"""

import functools
import time
from collections.abc import Iterable
from typing import Any, TypeAlias

from django.db import Error, connections

from shoal.routing.context import OpenWrite, Unit, current, current_unit
from shoal.routing.observers import observer
from shoal.topology import Cluster, Position, get_topology
from shoal.types import ClusterName

Hook: TypeAlias = tuple[Any, Any, bool]
"""As Django keeps it: the savepoints it was given in, what to call, if it may fail."""
_BEGUN = frozenset({2, 3})
"""PQTRANS_INTRANS, PQTRANS_INERROR.
https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS"""


def happened(connection: Any, edition: Cluster) -> None:
    """Remember that this unit of work has written on the edition's primary."""
    unit = current_unit()
    if not _in_transaction(connection):
        committed(unit, edition.name)
    elif not _is_open(unit, edition.name, connection):
        _open(unit, edition.name, connection)
    # After that: a thread that chooses a member right now looks for it afterwards.
    unit.members.pop(edition.name, None)


def committed(unit: Unit, edition: ClusterName) -> None:
    """Remember that a write can be seen by others now."""
    _mark(unit, edition)
    if unit.after_write is not None:
        unit.after_write()


def _mark(unit: Unit, edition: ClusterName) -> None:
    unit.written[edition] = time.monotonic()
    unit.open_writes.pop(edition, None)
    unit.members.pop(edition, None)


def _open(unit: Unit, edition: ClusterName, connection: Any) -> None:
    hook = None
    if connection.in_atomic_block and not is_of_test(connection):
        hook = functools.partial(committed, unit, edition)
        connection.on_commit(hook)
        # To the front: what the project does after the commit has to see it.
        connection.run_on_commit.insert(0, connection.run_on_commit.pop())
    unit.open_writes[edition] = OpenWrite(connection.connection, hook)


def in_order(hooks: Iterable[Hook]) -> list[Hook]:
    """Put to the front what is heard here: of several servers, all have committed."""
    return sorted(hooks, key=lambda entry: not _is_own(entry[1]))


def kept(hooks: Iterable[Hook], before: Iterable[Hook]) -> list[Hook]:
    """
    Return those that were there before, wherever they stand now.

    Django makes the entries anew when a savepoint is rolled back, but not the set in
    each, which no other has.
    """
    known = {id(savepoints) for savepoints, *_ in before}
    return [entry for entry in hooks if id(entry[0]) in known]


def _is_own(hook: Any) -> bool:
    return isinstance(hook, functools.partial) and hook.func is committed


def is_of_test(connection: Any) -> bool:
    """
    Say whether this is the transaction that a `TestCase` rolls back.

    It calls nobody after a commit, and a project's tests count who would be called.
    """
    return any(
        getattr(block, "_from_testcase", False) for block in connection.atomic_blocks
    )


def _is_open(unit: Unit, edition: ClusterName, connection: Any) -> bool:
    """Say whether the end of this transaction will be heard of."""
    write = unit.open_writes.get(edition)
    if write is None or write.connection is not connection.connection:
        return False
    return write.hook is None or _is_waiting(write, connection)


def _is_waiting(write: OpenWrite, connection: Any) -> bool:
    """Say whether Django still has the hook, and for the savepoints of this moment."""
    savepoints = set(connection.savepoint_ids)
    return any(
        entry[1] is write.hook and entry[0] <= savepoints
        for entry in connection.run_on_commit
    )


def settle(unit: Unit, edition: Cluster) -> None:
    """
    Find out how a transaction has ended in which this unit of work had written.

    Nobody tells of a rollback, nor of a commit whose answer was lost: then the
    connection is another one, and the write may well be there.
    """
    write = unit.open_writes.get(edition.name)
    if write is None:
        return
    connection = connections[edition.primary]
    if _in_transaction(connection):
        return
    same = connection.connection is write.connection and connection.connection
    if same and write.hook is not None and not _is_waiting(write, connection):
        del unit.open_writes[edition.name]
    else:
        _mark(unit, edition.name)


def _in_transaction(connection: Any) -> bool:
    """
    Say whether what was just written is not committed yet.

    psycopg knows without asking, of a transaction that was begun by raw SQL, too.
    """
    pgconn = getattr(connection.connection, "pgconn", None)
    if pgconn is None or is_of_test(connection):
        return observer(current()).in_transaction(connection)
    return pgconn.transaction_status in _BEGUN


def learn(unit: Unit) -> None:
    """
    Ask for the position of what this unit has written, and keep it as its token.

    One round trip for each edition that was written, none for the others. Where the
    server cannot tell, the token is the time, and lasts for the edition's `MAX_LAG`.
    """
    if not (unit.written or unit.open_writes):
        return
    for edition in get_topology().editions():
        settle(unit, edition)
        written = unit.written.get(edition.name)
        if written is not None or _ends_unheard(unit, edition):
            # Not what somebody has learned since: who answers a visitor last has to
            # carry the latest position, whichever request has written last.
            keep(unit, edition, _asked(edition), written)


def _ends_unheard(unit: Unit, edition: Cluster) -> bool:
    """
    Say whether this unit has written where nobody hears of a commit.

    Without autocommit, drivers but psycopg do not tell whether a transaction is open.
    """
    if edition.name not in unit.open_writes:
        return False
    connection = connections[edition.primary]
    return not connection.in_atomic_block and not connection.autocommit


def keep(
    unit: Unit, edition: Cluster, position: Position, written: float | None
) -> None:
    """Let this position, asked for after the write of that moment, be the token."""
    if unit.written.get(edition.name) == written:
        # Otherwise another thread has written since.
        unit.written.pop(edition.name, None)
    unit.dropped.discard(edition.name)
    before = unit.tokens.get(edition.name)
    unit.tokens[edition.name] = before.merge(position) if before else position
    observer(current()).expect(edition, unit.tokens[edition.name])


def _asked(edition: Cluster) -> Position:
    try:
        position = observer(current()).look(connections[edition.primary])
    except Error:
        # It went down right after the commit. Whoever reads must not miss it.
        position = None
    return position or Position.of_clock(time.time())
