"""Takes an open connection, gives the name that the server has for itself."""

from typing import Any

from shoal.topology.asking import row

_POSTGRESQL = """
SELECT coalesce(
    nullif(current_setting('cluster_name'), ''),
    host(inet_server_addr()) || ':' || inet_server_port(),
    current_setting('data_directory', true)
)
"""
_MYSQL = "SELECT coalesce(nullif(@@report_host, ''), concat(@@hostname, ':', @@port))"


def server_name(connection: Any) -> str:
    """
    Ask the server who it is.

    PostgreSQL answers with `cluster_name`, MariaDB and MySQL with `report_host`, both
    else with address and port; SQLite is the path of its file.
    """
    if connection.vendor == "sqlite":
        return str(connection.settings_dict["NAME"])
    sql = _POSTGRESQL if connection.vendor == "postgresql" else _MYSQL
    return str(row(connection, sql)[0])
