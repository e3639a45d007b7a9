"""Lets what several statements do be one query in Django's log of them."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def as_one_query(connection: Any) -> Iterator[None]:
    """
    Keep one entry of those that the block logs on the sharded alias.

    `assertNumQueries` counts what the project asks for: an insert that goes to two
    shards is one. The shards' own aliases log what each of them runs.
    """
    log = connection.queries_log
    before = len(log)
    try:
        yield
    finally:
        while len(log) > before + 1:
            log.pop()


@contextlib.contextmanager
def uncounted(connection: Any) -> Iterator[None]:
    """Keep nothing of what the block logs there: it is a part of what is to come."""
    log = connection.queries_log
    before = len(log)
    try:
        yield
    finally:
        while len(log) > before:
            log.pop()
