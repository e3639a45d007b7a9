"""Asks databases past the project, over connections of their own."""

from collections.abc import Sequence
from typing import Any

from django.db import connections

from shoal.topology.probe.asking import close, open_apart
from tests.waiting import until

TRIO = ("left", "right", "third")
AT_WORK = {
    # One that is idle has nothing open: it may be a pooler's, and stay.
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND state <> 'idle' "
    "AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE user = substring_index(user(), '@', 1) AND id <> connection_id()",
}


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


def until_all_have_ended(*names: str) -> None:
    """
    Return once no session is there of those there are now, but for this process's.

    A server may be a moment late to notice that a client is gone, and does meanwhile
    what it was told last.
    """
    before = _at_work(names or TRIO)
    until(lambda: before.isdisjoint(_at_work(names or TRIO)))


def _at_work(names: Sequence[str]) -> set[tuple[str, int]]:
    found = set()
    for alias in names:
        own: Any = connections[alias]
        if own.vendor in AT_WORK:
            found |= {(alias, number) for (number,) in ask(alias, AT_WORK[own.vendor])}
        if own.vendor == "mysql" and own.connection is not None:
            found.discard((alias, own.connection.thread_id()))
    return found


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
