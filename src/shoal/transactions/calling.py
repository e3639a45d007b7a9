"""Takes a function of the project, sync or async, and calls it."""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from asgiref.sync import async_to_sync


def call(function: Callable[[Any], Any], given: Any) -> Any:
    """
    Return what it returns, and wait for that if it has to be waited for.

    A task of its own that was cancelled is its error.
    """
    # Not asked of the function: a decorator, or a lambda, may hide that it is async.
    found = function(given)
    if not isawaitable(found):
        return found
    try:
        return async_to_sync(_waited_for)(found)
    except CancelledError as error:
        # No `Exception`, so it would end the worker.
        raise RuntimeError("What it has waited for was cancelled.") from error


async def _waited_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
