"""
Takes SQL, sends it over the project's own connection, inside of its transaction.

Past no cursor of Django's: whatever watches the project's statements, so that a server
joins a transaction or a token is taken, sees these too. SQL has its names in double
quotes.
"""

from typing import Any

from django.db import connections

from shoal.topology import get_topology
from shoal.transactions.schemas import are_there, qualified
from shoal.types import Alias

_SEEN = "_shoal_outbox_tables"


def server_of(alias: Alias) -> Alias:
    """Return where rows that are not sharded are: the home shard of a sharded alias."""
    cluster = get_topology().clusters.get(alias)
    return cluster.home.primary if cluster and cluster.is_sharded else alias


def change(alias: Alias, sql: str, *params: Any) -> int:
    """Return how many rows were changed."""
    connection: Any = connections[alias]
    sql = qualified(connection, sql)
    if connection.vendor == "mysql":
        sql = sql.replace('"', "`")
        # Bytes, as `ExactText` keeps them.
        params = tuple(p.encode() if isinstance(p, str) else p for p in params)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def ensure_tables(alias: Alias) -> None:
    """
    Create the tables of messages where they are missing; past the open transaction.

    Asks once for each connection of the driver, but on SQLite, where they may go with
    the transaction. A statement that fails would break the transaction on PostgreSQL.
    """
    from shoal.transactions.tables import create

    connection: Any = connections[alias]
    connection.ensure_connection()
    if vars(connection).get(_SEEN) is connection.connection:
        return
    if not _are_there(connection):
        create(alias)
    if connection.vendor != "sqlite":
        setattr(connection, _SEEN, connection.connection)


def _are_there(connection: Any) -> bool:
    from shoal.models import MessageRow, ReceivedRow
    from shoal.placement.control import Control

    if connection.vendor == "postgresql":
        return are_there(connection, "shoal_message", "shoal_received")
    return not Control(connection).missing((MessageRow, ReceivedRow))
