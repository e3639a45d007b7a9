"""Takes a connection, gives how far its server's log has come."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.topology.asking import row
from shoal.topology.positions import mysql, postgresql
from shoal.topology.positions.values import Position

__all__ = ["Position", "look"]

_LOOKS: Mapping[str, Callable[[Any], tuple[Position | None, bool, float | None]]] = {
    "mysql": mysql.look,
    "postgresql": postgresql.look,
}


def look(
    connection: BaseDatabaseWrapper,
) -> tuple[Position | None, bool | None, float | None]:
    """
    Return a server's position, whether it is a replica, and its data's age in seconds.

    The position is that of the log as written on a primary and as replayed on a
    replica. One round trip. Each is `None` where the server cannot tell.
    """
    ask = _LOOKS.get(connection.vendor)
    if ask is None:
        row(connection, "SELECT 1")
        return None, None, None
    return ask(connection)
