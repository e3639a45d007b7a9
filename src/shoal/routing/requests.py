"""Takes a request, gives the unit of work that all of its handling belongs to."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.http import HttpRequest

from shoal.routing import carrying
from shoal.routing.context import Unit, current, set_current


def begin_request(*, environ: Any = None, **kwargs: Any) -> None:
    """
    Begin before any middleware runs. Receives `request_started`.

    Under ASGI Django sends that signal from a task of its own, so that nothing said
    there is heard by the request; then `Middleware` begins.
    """
    if environ is None:
        return
    before = current()
    unit = Unit(source=environ, outer=_outer(before.unit))
    set_current(replace(before, unit=unit))
    carrying.receive_from_environ(environ, unit)


def _outer(unit: Unit | None) -> Unit | None:
    """Return the unit of work that a request begins in, and goes back to."""
    if unit is None or unit.source is None or unit.is_handled:
        # Handled: a view makes a request of its own, with Django's test client, say.
        return unit
    # Of a response that nobody has closed.
    return unit.outer


def end_request(**kwargs: Any) -> None:
    """Put back what was before. Receives `request_finished`."""
    unit = current().unit
    if unit is not None and unit.source is not None:
        set_current(replace(current(), unit=unit.outer))


@contextlib.contextmanager
def unit_of(request: HttpRequest) -> Iterator[Unit]:
    """
    Give the unit of work of this request, and end every scope that a view has left
    open.

    Under a server it goes on after the block, for the middleware around.
    """
    before = current()
    unit = before.unit
    scope = getattr(request, "scope", None)
    source = scope if scope is not None else getattr(request, "environ", None)
    goes_on = unit is not None and unit.source is not None and unit.source is source
    if unit is None or not goes_on:
        unit = Unit(source=source, outer=_outer(before.unit))
        set_current(replace(before, unit=unit))
    unit.is_handled = True
    try:
        yield unit
    finally:
        unit.is_handled = False
        left = unit if goes_on or scope is not None else before.unit
        set_current(replace(before, unit=left))
