"""
Takes the name of a branch, gives what a server needs to hear of it.

A branch is what one server does for a unit of work over several. PostgreSQL prepares a
transaction at its end, MariaDB and MySQL have to be told at its beginning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.db import Error

from shoal.routing.losses import UNDONE, lost
from shoal.transactions.naming import BranchName
from shoal.transactions.wires import Work, sent

GONE = ("42704", 1397)
"""
There is no such prepared transaction: undefined_object, XAER_NOTA. MariaDB says the
same while the session that has prepared it is connected.
https://www.postgresql.org/docs/current/errcodes-appendix.html
https://mariadb.com/docs/server/reference/error-codes
"""
BUSY = ("55000",)
"""Somebody else finishes it at this moment: object_not_in_prerequisite_state."""
NO_ROOM = ("55000", "53200")
"""To `PREPARE`: `max_prepared_transactions` is 0, or there are as many."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What a kind of server has to be sent. Each takes the name of the branch."""

    prepare: Callable[[BranchName], tuple[str, ...]]
    commit: Callable[[BranchName], str]
    roll_back: Callable[[BranchName], str]
    start: Callable[[BranchName], str] | None = None
    """Begins, where a branch has to be named then."""
    undo: Callable[[BranchName], tuple[str, ...]] | None = None
    """Rolls back what was begun so, and is not prepared."""


def _xid(name: BranchName) -> str:
    return f"'{name.gtrid}','{name.bqual}'"


ENGINES: Mapping[str, Engine] = {
    "postgresql": Engine(
        prepare=lambda name: (f"PREPARE TRANSACTION '{name.gid}'",),
        commit=lambda name: f"COMMIT PREPARED '{name.gid}'",
        roll_back=lambda name: f"ROLLBACK PREPARED '{name.gid}'",
    ),
    "mysql": Engine(
        start=lambda name: f"XA START {_xid(name)}",
        prepare=lambda name: (f"XA END {_xid(name)}", f"XA PREPARE {_xid(name)}"),
        commit=lambda name: f"XA COMMIT {_xid(name)}",
        roll_back=lambda name: f"XA ROLLBACK {_xid(name)}",
        undo=lambda name: (f"XA END {_xid(name)}", f"XA ROLLBACK {_xid(name)}"),
    ),
}


def code_of(error: BaseException) -> str | int | None:
    """Return what the server calls the error: an SQLSTATE, a number, SQLite's name."""
    cause = error.__cause__ or error
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        if state := getattr(cause, name, None):
            return str(state)
    if cause.args and isinstance(cause.args[0], int):
        return cause.args[0]
    return None


def is_answer(error: BaseException) -> bool:
    """Say whether the server has refused. Else nobody knows here what it has done."""
    return code_of(error) is not None and not lost(error)


Seen = Literal["written", "serializable", "read"]
_SEEN = (
    "SELECT CASE WHEN txid_current_if_assigned() IS NOT NULL THEN 'written' "
    "ELSE current_setting('transaction_isolation') END"
)
"""
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""


def what_was_done(connection: Any) -> Work[Seen]:
    """
    Ask whether the open transaction has changed anything, or locked a row.

    Where the server does not tell, it has. One that has only read, and is
    serializable, may fail when it ends.
    """
    if connection.vendor != "postgresql":
        return "written"
    found = yield from sent(connection, _SEEN)
    if found in ("written", b"written"):
        return "written"
    return "serializable" if found in ("serializable", b"serializable") else "read"


def was_undone(connection: Any) -> bool:
    """
    Say whether the server has rolled back what was written in the open transaction.

    `UndoingHeard` notes that.
    """
    return bool(connection.in_atomic_block and connection.commit_on_exit == UNDONE)


def is_gone(error: Error) -> bool:
    return code_of(error) in GONE


def is_busy(error: Error) -> bool:
    return code_of(error) in BUSY


def has_no_room(error: Error) -> bool:
    return code_of(error) in NO_ROOM
