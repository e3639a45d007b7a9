"""Takes a connection to PostgreSQL, gives its place in the write-ahead log."""

import hashlib
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.topology.asking import row
from shoal.topology.positions.values import Position

PAGE = 8192
"""Bytes of a page of the log.
https://www.postgresql.org/docs/current/wal-internals.html"""
HEADERS = (24, 40)
"""Bytes of the header of a page, and of the first page of a segment.
src/include/access/xlog_internal.h: SizeOfXLogShortPHD, SizeOfXLogLongPHD"""

# The place where the next record goes, and not how far the log is on disk: with
# synchronous_commit = off, which a role, a transaction or a function may set, the
# commit itself is beyond what was flushed when it is answered.
_LOOK = """
SELECT in_recovery,
       CASE WHEN in_recovery THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       CASE WHEN in_recovery
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), {timeline})
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
                 ::bit(32)::int END,
       {system},
       CASE WHEN in_recovery AND pg_last_wal_replay_lsn() < pg_last_wal_receive_lsn()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
       END::float8
FROM (SELECT pg_is_in_recovery() AS in_recovery) AS role
"""
_DENIED = "42501"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_ASKING = _LOOK.format(
    timeline="(SELECT timeline_id FROM pg_control_checkpoint())",
    system="(SELECT system_identifier FROM pg_control_system())",
)
_ASKING_LESS = _LOOK.format(timeline="0", system="0")
"""For a role that may not read the control file."""
_MAY_ASK = """
SELECT has_function_privilege('pg_control_system()', 'EXECUTE')
       AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
"""


def look(connection: BaseDatabaseWrapper) -> tuple[Position | None, bool, float | None]:
    """Return the position, whether this is a replica, and how old its data may be."""
    row = _row(connection)
    is_replica, place, timeline, system, age = row
    if place is None:
        return None, is_replica, age
    return position(int(place), timeline, system), is_replica, age


def position(place: int, timeline: int, system: int) -> Position:
    return Position(_history(system, timeline), {"wal": ((0, last_record(place)),)})


def last_record(place: int) -> int:
    """
    Return the end of the last record, given where the next one goes.

    At the beginning of a page the next record goes behind a header. An idle replica
    never gets behind that, since there is nothing to replay.
    """
    offset = place % PAGE
    return place - offset if offset in HEADERS else place


def _history(system: int, timeline: int) -> str:
    """Name system and timeline without telling a visitor the system's identifier."""
    digest = hashlib.blake2b(f"{system}".encode(), digest_size=6).hexdigest()
    return f"{digest}.{timeline}"


def _row(connection: Any) -> Any:
    if connection.connection is None:
        connection.ensure_connection()
    if _asks_less(connection):
        return row(connection, _ASKING_LESS)
    try:
        return row(connection, _ASKING)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != _DENIED:
            raise
        connection.shoal_asks_less = connection.connection
        return row(connection, _ASKING_LESS)


def _asks_less(connection: Any) -> bool:
    """Say whether the role is known to be refused, as long as this connection lasts."""
    if getattr(connection, "shoal_asks_less", None) is connection.connection:
        return True
    # To be refused would end the project's transaction.
    return connection.in_atomic_block and not row(connection, _MAY_ASK)[0]
