"""Takes a connection, gives how far its server's log has come."""

from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.topology.asking import row
from shoal.topology.positions import mysql, postgresql
from shoal.topology.positions.values import Position

__all__ = ["Position", "look"]


def look(
    connection: BaseDatabaseWrapper, *, of_replica: bool
) -> tuple[Position | None, bool | None, float | None]:
    """
    Return a server's position, whether it is a replica, and its data's age in seconds.

    The position is that of the log as written on a primary and as replayed on a
    replica; `of_replica` says what the server is listed as, for those that are both.
    One round trip. Each is `None` where the server cannot tell.
    """
    if connection.vendor == "postgresql":
        return postgresql.look(connection)
    if connection.vendor == "mysql":
        return mysql.look(connection, of_replica=of_replica)
    row(connection, "SELECT 1")
    return None, None, None
