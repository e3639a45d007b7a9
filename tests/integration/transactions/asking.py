"""Asks databases past the project, over connections of their own."""

from typing import Any

from django.db import connections

from shoal.topology.probe.asking import close, open_apart

TRIO = ("left", "right", "third")


def ask(alias: str, sql: str) -> list[Any]:
    """Ask over another connection."""
    connection: Any = open_apart(alias)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        close(connection)


def prepared(*names: str) -> list[str]:
    """Return the names of what is prepared and not finished, of whomever."""
    found = []
    for alias in names or TRIO:
        vendor = connections[alias].vendor
        if vendor == "postgresql":
            sql = (
                "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            )
            found += [row[0] for row in ask(alias, sql)]
        elif vendor == "mysql":
            found += [_text(row[3]) for row in ask(alias, "XA RECOVER")]
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def decided(*names: str) -> list[Any]:
    """Return the decisions that are kept."""
    found = []
    for alias in names or TRIO:
        if "shoal_decision" in _tables(alias):
            found += ask(alias, "SELECT unit, servers FROM shoal_decision")
    return found


def _tables(alias: str) -> list[str]:
    connection: Any = open_apart(alias)
    try:
        return list(connection.introspection.table_names())
    finally:
        close(connection)
