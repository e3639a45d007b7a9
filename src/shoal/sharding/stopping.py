"""Takes a connection, gives what stops the statement that is about to run on it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from shoal.topology.probe.asking import close, open_apart
from shoal.types import Alias

STOP_WITHIN = 2.0
"""Seconds in which a server has to take the order to stop."""


def stop_of(connection: Any) -> Callable[[], Any]:
    """Return what any thread may call."""
    raw = connection.connection
    if connection.vendor == "postgresql":
        return partial(raw.cancel_safe, timeout=STOP_WITHIN)
    if connection.vendor == "mysql":
        # Nobody may ask the connection for it while it is in use.
        return partial(_kill, connection.alias, raw.thread_id())
    return raw.interrupt  # type: ignore[no-any-return]


def _kill(alias: Alias, number: int) -> None:
    apart = open_apart(alias)
    try:
        with apart.cursor() as cursor:
            cursor.execute(f"KILL QUERY {number}")
    finally:
        close(apart)
