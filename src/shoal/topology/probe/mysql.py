"""Takes a connection to MariaDB or MySQL, gives what its server says of itself."""

from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

_ANYBODY_MAY_ASK = """
SELECT @@version, @@report_host, @@hostname, @@port, @@server_id, @@datadir,
       DATABASE()
"""


def answers(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    (row,) = _rows(connection, _ANYBODY_MAY_ASK)
    version, reported, host, port, server_id, directory, database = row.values()
    is_mariadb = bool(getattr(connection, "mysql_is_mariadb", False))
    position = "@@gtid_current_pos" if is_mariadb else "@@GLOBAL.gtid_executed"
    found = {
        "server_name": reported or host,
        "version": version.partition("-")[0],
        "database": database,
        "system": str(server_id),
        "identity": f"mysql {host} {port} {directory} {database}",
        "position": _one(connection, f"SELECT {position}"),
    }
    try:
        status = _rows(
            connection,
            "SHOW ALL REPLICAS STATUS" if is_mariadb else "SHOW REPLICA STATUS",
        )
    except DatabaseError:
        # The role lacks REPLICA MONITOR or REPLICATION CLIENT.
        return found
    return found | (_replica(status[0]) if status else {"is_replica": False})


def _replica(status: Mapping[str, Any]) -> dict[str, Any]:
    """Read the columns by what both vendors' names of them end or begin with."""

    def ending(end: str) -> Any:
        return next((v for k, v in status.items() if k.endswith(end)), None)

    behind = next(
        (v for k, v in status.items() if k.startswith("Seconds_Behind_")), None
    )
    upstream = ending("_Server_Id")
    return {
        "is_replica": True,
        "connected": ending("_IO_Running") == "Yes",
        "follows": f"{ending('_Host')}:{ending('_Port')}",
        "follows_system": str(upstream) if upstream else None,
        "lag_seconds": None if behind is None else float(behind),
    }


def _one(connection: BaseDatabaseWrapper, sql: str) -> str | None:
    try:
        (row,) = _rows(connection, sql)
    except DatabaseError:
        return None
    return str(next(iter(row.values()))) or None


def _rows(connection: BaseDatabaseWrapper, sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
