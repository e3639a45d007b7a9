"""Takes a function of the project, sync or async, and calls it."""

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction


def call(function: Callable[[Any], Any], given: Any) -> Any:
    """Return what it returns. A task of its own that was cancelled is its error."""
    if not iscoroutinefunction(function):
        return function(given)
    try:
        return async_to_sync(function)(given)
    except CancelledError as error:
        # No `Exception`, so it would end the worker.
        raise RuntimeError("What it has waited for was cancelled.") from error
