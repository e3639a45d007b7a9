"""Takes a request that failed, says whether it is answered once more."""

import logging
from typing import Any

from django.db import Error, connections
from django.http import HttpRequest, HttpResponse

from shoal.routing.context import Unit, current, current_unit
from shoal.routing.losses import conflicted, lost
from shoal.routing.observers import observer
from shoal.topology import get_topology
from shoal.types import Alias

SAFE = ("GET", "HEAD")
LOOK_WITHIN = 0.1
"""Seconds that a second answer waits for a look at each member that may give it."""
_AGAIN = "_shoal_again"
_DONE = "_shoal_retried"

logger = logging.getLogger("shoal.routing")


def consider(request: Any, error: Exception) -> HttpResponse | None:
    """
    Note that this request is to be answered again, if that is safe and may help.

    Safe: a GET or HEAD that has written nothing. May help: a replica died under it, or
    cancelled its query. Returns a response that nobody will see, so that Django goes
    on as if the view had answered.
    """
    unit = current_unit()
    if request.method not in SAFE or getattr(request, _DONE, False):
        return None
    if unit.has_sent_writes:
        return None
    replicas = _replicas_of(unit)
    if lost(error):
        replicas = [alias for alias in replicas if _is_broken(alias)]
        for alias in replicas:
            observer(current()).suspect(alias, str(error).partition("\n")[0])
            _close(alias)
    elif not conflicted(error):
        return None
    if not replicas:
        return None
    logger.warning(
        "request answered once more",
        extra={"event": "request_retried", "aliases": replicas, "path": request.path},
    )
    setattr(request, _AGAIN, True)
    return HttpResponse(status=503)


def is_wanted(request: HttpRequest) -> bool:
    return getattr(request, _AGAIN, False)


def prepare(request: Any, unit: Unit) -> None:
    """
    Let the second answer come from other members, and be the last one.

    Looks at these first: what one server died of may have killed others, too. And
    connects to them anew, since a connection of before may not have survived that.
    """
    setattr(request, _AGAIN, False)
    setattr(request, _DONE, True)
    avoided = set(_replicas_of(unit))
    unit.members.clear()
    unit.any_members.clear()
    unit.avoided |= avoided
    for alias in _others(avoided):
        observer(current()).look_again(alias, within=LOOK_WITHIN)
        if not connections[alias].in_atomic_block:
            _close(alias)


def _others(avoided: set[Alias]) -> list[Alias]:
    return [
        alias
        for edition in get_topology().editions()
        if avoided.intersection(edition.aliases)
        for alias in edition.aliases
        if alias not in avoided
    ]


def _replicas_of(unit: Unit) -> list[Alias]:
    primary_of = get_topology().primary_of_replica
    chosen = (*unit.members.values(), *unit.any_members.values())
    aliases = dict.fromkeys(choice.alias for choice in chosen)
    return [alias for alias in aliases if primary_of(alias) is not None]


def _is_broken(alias: Alias) -> bool:
    connection = connections[alias]
    return connection.connection is None or connection.errors_occurred


def _close(alias: Alias) -> None:
    """Close a broken connection, without asking whether it is one: it may be deaf."""
    try:
        connections[alias].close()
    except Error:
        connections[alias].connection = None
