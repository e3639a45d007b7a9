"""
Takes a step that writes on one cluster, runs it there once.

A row in the step's own transaction says that it is done, and what it returned. Who
comes later finds it; who comes at the same time cannot commit it a second time. It
stays, since nobody knows how late a process that was stopped may come.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connections, transaction

from shoal.models import SagaMarkRow
from shoal.transactions import tables
from shoal.transactions.losing import refuse_loss
from shoal.transactions.saga.places import Within, is_of_test
from shoal.transactions.saga.recording import UNLESS_THERE
from shoal.transactions.schemas import qualified
from shoal.types import Alias

_INSERT = """
INSERT INTO "shoal_saga_mark" ("mark", "result", "at") VALUES (%s, %s, %s)
"""


def mark_of(token: str, step: str, *, compensates: bool = False) -> str:
    return f"{token}/{step}/compensate" if compensates else f"{token}/{step}"


def once(
    alias: Alias,
    mark: str,
    call: Callable[[], str],
    now: float,
    *,
    closes: str | None = None,
) -> str:
    """
    Return what `call` returned, now or when it was done before.

    What it `closes`, the mark of the step that it compensates, nobody can commit any
    more, however late a process may be.
    """
    connection: Any = connections[alias]
    connection.ensure_connection()
    there = Within(connection)
    if connection.vendor == "sqlite" or is_of_test(connection):
        # What fails in the transaction of a test may end it.
        _create_table(there, alias)
    try:
        found = _result(there, mark)
    except DatabaseError:
        _create_table(there, alias)
        found = _result(there, mark)
    if found is not None:
        return found
    insert = qualified(connection, _INSERT)
    with transaction.atomic(using=alias):
        if closes is not None:
            # Waits for who commits that step just now, and then sees what it wrote.
            unless_there = f"{insert} {UNLESS_THERE[there.vendor]}"
            there.run(unless_there, closes, "null", now)
        result = call()
        refuse_loss(f"The step {mark.partition('/')[2]!r}")
        there.run(insert, mark, result, now)
    return result


def _result(there: Within, mark: str) -> str | None:
    sql = 'SELECT "result" FROM "shoal_saga_mark" WHERE "mark" = %s'
    rows = there.run(qualified(there.connection, sql), mark)
    return next((str(result) for (result,) in rows), None)


def _create_table(there: Within, alias: Alias) -> None:
    with contextlib.suppress(DatabaseError):
        if not there.missing((SagaMarkRow,)):
            return
    tables.create(alias)
