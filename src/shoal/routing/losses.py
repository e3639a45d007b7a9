"""Takes what a database raised, says whether its server was lost. Pure."""

from typing import Any

from django.db import InterfaceError, OperationalError

_LOST_STATES = ("08", "57P")
"""Connection exceptions; a shutdown, a crash, a server that is starting.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_CONFLICT = "40001"
_LOST_CODES = frozenset({0, 1053, 1080, 1927, 2002, 2003, 2006, 2013, 2055})
"""https://mariadb.com/kb/en/mariadb-error-code-reference/ and, from 2000 on,
https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html
0 is what mysqlclient says of a connection that it has closed."""


def lost(error: BaseException) -> bool:
    """Say whether the connection was lost, refused or closed under a statement."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    cause: Any = error.__cause__
    for state in ("sqlstate", "pgcode"):  # psycopg, psycopg2
        if hasattr(cause, state):
            # Without one it is the driver that speaks, since no server answered.
            return str(getattr(cause, state) or "08").startswith(_LOST_STATES)
    return bool(error.args) and error.args[0] in _LOST_CODES


def conflicted(error: BaseException) -> bool:
    """
    Say whether a replica cancelled a query, since replaying had to go on.

    https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
    """
    return getattr(
        error.__cause__, "sqlstate", None
    ) == _CONFLICT and "conflict with recovery" in str(error)
