"""
Takes a new connection of psycopg, lets the guard see what its cursors copy and call.

Django's execute wrappers are not asked about these methods of a cursor.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from shoal.types import Alias

Around: TypeAlias = Callable[[Alias, Any, Any], AbstractContextManager[None]]
"""Takes an alias, psycopg's connection to it, and a statement."""


def watch_copies(connection: Any, around: Around) -> None:
    """Put `around` around these methods. psycopg 3 only."""
    raw = connection.connection
    factory = getattr(raw, "cursor_factory", None)
    # psycopg2 has methods of other names, and a pool gives a connection twice.
    if hasattr(factory, "copy") and not hasattr(factory, "shoal_watches"):
        raw.cursor_factory = _watched(factory, connection.alias, around)


@functools.cache
def _watched(factory: Any, alias: Alias, around: Around) -> Any:
    class WatchedCursor(factory):  # type: ignore[misc]
        shoal_watches = True

        @contextlib.contextmanager
        def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            with (
                around(alias, self.connection, statement),
                super().copy(statement, *args, **kwargs) as copy,
            ):
                yield copy

        def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            with around(alias, self.connection, query):
                yield from super().stream(query, *args, **kwargs)

        def callproc(self, name: str, args: Any = None) -> Any:
            with around(alias, self.connection, f"CALL {name}"):
                return super().callproc(name, args)

    return WatchedCursor
