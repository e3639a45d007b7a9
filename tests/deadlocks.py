"""A deadlock of MariaDB's that the project loses."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections

from shoal.topology.probe.asking import close, open_apart


def execute(cursor: Any, sql: str) -> None:
    cursor.execute(sql)


def lose_a_deadlock(
    alias: str, table: str, key: str, *, send: Callable[[Any, str], None] = execute
) -> None:
    """
    Against a transaction that has changed more, so that ours is rolled back.

    The table has the rows 100 and 101, and a column `text`.
    """
    update = f"UPDATE {table} SET text = '7' WHERE {key} = {{}}"
    other: Any = open_apart(alias)
    with other.cursor() as apart, connections[alias].cursor() as cursor:
        apart.execute("BEGIN")
        apart.execute(f"INSERT INTO {table} VALUES (201, '7'), (202, '7'), (203, '7')")
        apart.execute(update.format(101))
        cursor.execute(update.format(100))
        thread = threading.Thread(target=apart.execute, args=[update.format(100)])
        thread.start()
        with pytest.raises(OperationalError, match="Deadlock"):
            send(cursor, update.format(101))
        thread.join()
    close(other)
