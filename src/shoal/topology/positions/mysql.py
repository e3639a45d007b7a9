"""Takes a connection to MariaDB or MySQL, gives the transactions that it has."""

from collections import defaultdict
from typing import Any

from shoal.topology.asking import row
from shoal.topology.positions.values import Position, Span

# Anybody may ask all of this; SHOW REPLICA STATUS takes a privilege.
_MARIADB = """
SELECT @@gtid_slave_pos, @@gtid_binlog_pos, @@read_only,
       (SELECT variable_value FROM information_schema.global_status
        WHERE variable_name = 'SLAVE_RUNNING')
"""
_MYSQL = "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.read_only"


def look(
    connection: Any, *, of_replica: bool
) -> tuple[Position | None, bool | None, float | None]:
    """
    Return the position, whether this is a replica, and `None` for the data's age.

    A server that takes no writes is a replica; one that does, and applies no other's,
    is none. One that does both may be either.
    """
    if not connection.mysql_is_mariadb:
        executed, read_only = row(connection, _MYSQL)
        return mysql_position(executed), bool(read_only), None
    replayed, written, read_only, running = row(connection, _MARIADB)
    is_both = not read_only and running == "ON"
    is_replica = None if is_both else bool(read_only)
    return mariadb_position(replayed if of_replica else written), is_replica, None


def mariadb_position(text: str) -> Position | None:
    """
    Take `0-1-205,1-2-7`: domain, server and number of the last transaction.

    Numbers of one domain count on when another server takes over, so that the same
    number may be two transactions. Only those of one server are compared.
    """
    logs: dict[str, tuple[Span, ...]] = {}
    for gtid in filter(None, (part.strip() for part in text.split(","))):
        log, _, number = gtid.rpartition("-")
        logs[log] = ((0, int(number)),)
    return Position("", logs) if logs else None


def mysql_position(text: str) -> Position | None:
    """Take `uuid:1-5:7, uuid:1-3`: the transactions of each server, in spans."""
    logs: dict[str, list[Span]] = defaultdict(list)
    for part in filter(None, (part.strip() for part in text.split(","))):
        server, *spans = part.split(":")
        tag = ""
        for span in spans:
            if not span[:1].isdigit():
                # MySQL 8.3 and later: transactions may bear a tag.
                tag = f":{span}"
                continue
            first, _, last = span.partition("-")
            logs[server.lower() + tag].append((int(first), int(last or first)))
    return Position("", {k: tuple(v) for k, v in logs.items()}) if logs else None
