"""Takes a connection to PostgreSQL, gives what its server says of itself."""

from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

_ANYBODY_MAY_ASK = """
SELECT current_setting('cluster_name'), current_setting('server_version'),
       pg_is_in_recovery(), current_database(), current_schema(),
       extract(epoch FROM pg_postmaster_start_time())::text,
       current_setting('max_prepared_transactions')::int
"""
# A replica has received all that its primary sent and replayed it: then it is not
# behind, however long ago the last transaction was. The receiving position starts at
# the beginning of a segment after a restart, hence >=.
_REPLICA = """
SELECT pg_last_wal_replay_lsn()::text,
       CASE WHEN receiver.pid IS NOT NULL
                 AND pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
       END::float8,
       receiver.pid IS NOT NULL,
       receiver.sender_host || ':' || receiver.sender_port
FROM (SELECT 1) AS one LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


def answers(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    name, version, in_recovery, database, schema, started, prepared = rows(
        connection, _ANYBODY_MAY_ASK
    )
    system = _if_allowed(
        connection, "SELECT system_identifier::text FROM pg_control_system()", 1
    )[0]
    found = {
        "server_name": name or None,
        "version": version.split()[0],
        "database": database,
        "is_replica": in_recovery,
        "system": system,
        "identity": f"postgresql {system} {started} {database} {schema}",
        "max_prepared_transactions": prepared,
    }
    return found | (
        _replica(connection, system) if in_recovery else _primary(connection)
    )


def _replica(connection: BaseDatabaseWrapper, system: str | None) -> dict[str, Any]:
    position, lag, connected, sender = _if_allowed(connection, _REPLICA, 4)
    return {
        "position": position,
        "lag_seconds": lag if lag is None else max(float(lag), 0.0),
        "connected": connected,
        "follows": sender,
        "follows_system": system,
    }


def _primary(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    return {
        "position": _if_allowed(connection, "SELECT pg_current_wal_lsn()::text", 1)[0]
    }


def rows(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def _if_allowed(connection: BaseDatabaseWrapper, sql: str, width: int) -> Any:
    """Ask what a role may be denied, and what servers for hire may not have."""
    try:
        return rows(connection, sql) or (None,) * width
    except DatabaseError:
        return (None,) * width
