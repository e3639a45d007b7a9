"""
Replicas that show what their primary shows, uncommitted rows included.

A test runs in a transaction that no real replica ever sees. So a replica's alias gets
a connection object that borrows everything from its primary's, but for its name:
writes on it are refused and its queries are counted as everywhere.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db import connections

from shoal.routing.context import current, set_current
from shoal.routing.health import stop_watching
from shoal.testing.observer import MirrorObserver
from shoal.topology import get_topology
from shoal.types import Alias

_OWN = frozenset({"alias", "settings_dict", "creation", "_own", "_primary"})
_FORBIDDEN_BY_TESTS = frozenset(
    {"connect", "temporary_connection", "cursor", "chunked_cursor"}
)
"""What Django replaces on each alias that a test does not list in `databases`."""


class Mirror:
    """The connection of a replica's alias, on the connection of its primary."""

    def __init__(self, own: Any, primary: Any) -> None:
        object.__setattr__(self, "_own", own)
        object.__setattr__(self, "_primary", primary)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if name in _OWN else self._primary, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FORBIDDEN_BY_TESTS:
            # Here and not on the primary, which the test may list.
            object.__setattr__(self, name, value)
            return
        setattr(self._own if name in _OWN else self._primary, name, value)

    def __repr__(self) -> str:
        return f"<Mirror of {self._primary.alias!r} as {self._own.alias!r}>"

    def cursor(self) -> Any:
        return self._named(self._primary.cursor())

    def chunked_cursor(self) -> Any:
        return self._named(self._primary.chunked_cursor())

    def _named(self, cursor: Any) -> Any:
        """Let execute wrappers, the guard among them, see the replica's alias."""
        cursor.db = self
        return cursor


@contextlib.contextmanager
def mirrored() -> Iterator[None]:
    """
    Let every replica show its primary's data in this thread, as it is right now.

    The test cases and the pytest plugin do this; use it where neither runs.
    """
    own: dict[Alias, Any] = {}
    for edition in get_topology().editions():
        for replica in edition.replicas:
            if not isinstance(connections[replica.alias], Mirror):
                own[replica.alias] = connections[replica.alias]
                primary = connections[edition.primary]
                mirror: Any = Mirror(own[replica.alias], primary)
                connections[replica.alias] = mirror
    try:
        with observed_by(current().observer or MirrorObserver()):
            yield
    finally:
        for alias, connection in own.items():
            connections[alias] = connection


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Let nobody look at servers, whose databases are about to be dropped."""
    stop_watching()
    with observed_by(MirrorObserver()):
        yield


@contextlib.contextmanager
def observed_by(observer: MirrorObserver) -> Iterator[None]:
    """Let `observer` tell positions and health for a block, in place of the servers."""
    before = current().observer
    set_current(replace(current(), observer=observer))
    try:
        yield
    finally:
        set_current(replace(current(), observer=before))
