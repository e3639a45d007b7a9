"""Takes a task that a worker runs, makes it a unit of work behind its token."""

import logging
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from shoal.contrib.celery.sending import HEADER
from shoal.errors import BadToken
from shoal.routing import writes
from shoal.routing.context import Context, Unit, current, set_current
from shoal.routing.tokens import unpack, welcome
from shoal.topology import get_topology

_before: ContextVar[Context | None] = ContextVar("shoal.contrib.celery", default=None)

logger = logging.getLogger("shoal.contrib")


def begin(*, task: Any, **kwargs: Any) -> None:
    """
    Begin the unit of work of a task. Receives `task_prerun`.

    A task that is run where it is called (`apply()`, `task_always_eager`) is a part of
    the work that calls it.
    """
    request = task.request
    if request.is_eager:
        return
    unit = Unit()
    _before.set(current())
    set_current(replace(current(), unit=unit))
    _receive(request, unit)
    if _is_again(request):
        _doubt(unit)
    welcome(unit)


def end(*, task: Any, **kwargs: Any) -> None:
    """End it, and every scope that the task has left open. Receives `task_postrun`."""
    before = _before.get()
    if before is not None and not task.request.is_eager:
        set_current(before)
        _before.set(None)


def _receive(request: Any, unit: Unit) -> None:
    """Take the token of a message; read from the primaries if it is a bad one."""
    text = request.get(HEADER) or (request.headers or {}).get(HEADER)
    try:
        unit.tokens.update(unpack(str(text)) if text else {})
    except BadToken as error:
        # A task must not be lost. Its sender has written something, who knows what.
        _doubt(unit)
        logger.warning(
            "token of a task refused",
            extra={
                "event": "task_token_refused",
                "task_id": request.id,
                "reason": error.message,
            },
        )


def _is_again(request: Any) -> bool:
    """Say whether the broker has handed out this message before."""
    return bool((request.delivery_info or {}).get("redelivered"))


def _doubt(unit: Unit) -> None:
    """Let a unit of work read as if it had written: nobody knows what was."""
    for edition in get_topology().editions():
        if edition.replicas:
            writes.committed(unit, edition.name)
