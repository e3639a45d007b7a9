"""Takes what a database raised, says whether its server was lost. Pure."""

from typing import Any

from django.db import Error, InterfaceError, OperationalError

_LOST_STATES = ("08", "57P")
"""Connection exceptions; a shutdown, a crash, a server that is starting.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_CONFLICTS = ("40001", "40P01")
_LOST_CODES = frozenset({0, 1053, 1080, 1927, 2002, 2003, 2006, 2013, 2055})
"""https://mariadb.com/kb/en/mariadb-error-code-reference/ and, from 2000 on,
https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html
0 is what mysqlclient says of a connection that it has closed."""
_UNDOING = ((1020,), (1213,))
"""
A deadlock, and with `innodb_snapshot_isolation` a row that was changed since it was
read: InnoDB rolls back the whole transaction, and not the statement alone.
https://dev.mysql.com/doc/refman/8.4/en/innodb-error-handling.html
https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-system-variables
"""
UNDONE = "undone"
"""
What a connection's `commit_on_exit` is, once the server has rolled back. Django sets it
anew where it begins a transaction, and may begin the next with the same `Atomic`.
"""


def undid(error: BaseException) -> bool:
    """Say whether the server has rolled back all that was written before."""
    return isinstance(error, OperationalError) and error.args[:1] in _UNDOING


def lost(error: BaseException) -> bool:
    """Say whether the connection was lost, refused or closed under a statement."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = _state(error)
    if state is not None:
        return state.startswith(_LOST_STATES)
    return bool(error.args) and error.args[0] in _LOST_CODES


def conflicted(error: BaseException) -> bool:
    """
    Say whether a replica cancelled a query, since replaying had to go on.

    By the code alone, since a server may speak any language. Where it was a primary
    that did not find an order for its transactions, another try is right, too.
    https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
    """
    return isinstance(error, Error) and _state(error) in _CONFLICTS


def _state(error: BaseException) -> str | None:
    """Return the SQLSTATE; "08" where the driver speaks, since no server answered."""
    cause: Any = error.__cause__
    for name in ("sqlstate", "pgcode"):  # psycopg, psycopg2
        if hasattr(cause, name):
            return str(getattr(cause, name) or "08")
    return None
