"""Takes a function of the project, sync or async, and calls it."""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction


def call(function: Callable[[Any], Any], given: Any) -> Any:
    """
    Return what it returns, and wait for that if it has to be waited for.

    A task of its own that was cancelled is its error.
    """
    if iscoroutinefunction(function):
        return _waited_for(function, given)
    found = function(given)
    # A decorator, or a lambda, may hide that the function inside of it is async.
    return _waited_for(_itself, found) if isawaitable(found) else found


def _waited_for(function: Callable[[Any], Awaitable[Any]], given: Any) -> Any:
    try:
        return async_to_sync(function)(given)
    except CancelledError as error:
        # No `Exception`, so it would end the worker.
        raise RuntimeError("What it has waited for was cancelled.") from error


async def _itself(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
