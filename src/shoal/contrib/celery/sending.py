"""Takes the headers of a task that is being sent, adds what it must not miss."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from celery import current_task
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections

from shoal.errors import BadToken
from shoal.routing import writes
from shoal.routing.context import Unit, begin, current, current_unit
from shoal.routing.observers import observer
from shoal.routing.tokens import lasting, pack, unpack
from shoal.topology import Cluster, Position, get_topology
from shoal.types import ClusterName

HEADER = "shoal_token"
CHORD_UNLOCK = "celery.chord_unlock"
"""Celery's own task that waits for the tasks of a chord and sends the last one."""


def give_token(*, headers: dict[str, Any], **kwargs: Any) -> None:
    """
    Put the token of the current unit of work into a message, if it has one.

    Asks a primary for its position if the unit has written since it was last asked.
    Receives `before_task_publish`.
    """
    unit = current_unit()
    found = [_carried(headers, unit), _learned(unit)]
    if _is_after_others(headers):
        found.append(_positions_now())
    found.append(_undecided())
    text = pack(_merged(found))
    if text:
        headers[HEADER] = text
    else:
        headers.pop(HEADER, None)


def _carried(headers: Mapping[str, Any], unit: Unit) -> dict[ClusterName, Position]:
    """Return what is there already: a retry has the headers of its first message."""
    text = headers.get(HEADER)
    try:
        tokens = unpack(str(text)) if text else {}
    except BadToken:
        return {}
    return {k: v for k, v in tokens.items() if k not in unit.dropped}


def _learned(unit: Unit) -> dict[ClusterName, Position]:
    """Return the tokens of a unit of work, after asking for those that are due."""
    # In a coroutine Django lets nobody ask: then the time stands for the position.
    with contextlib.suppress(SynchronousOnlyOperation):
        writes.learn(unit)
    return {**lasting(unit), **dict.fromkeys(unit.written, _clock())}


def _is_after_others(headers: Mapping[str, Any]) -> bool:
    """
    Say whether a task is sent on behalf of others than this one: the last of a chord.

    The others have run elsewhere, and nobody told this process what they have written.
    """
    if not current_task:
        return False
    if current_task.name == CHORD_UNLOCK:
        return headers.get("task") != CHORD_UNLOCK
    return bool(current_task.request.chord)


def _positions_now() -> dict[ClusterName, Position]:
    """Return where the primaries are, which contains whatever was committed."""
    now = time.monotonic()
    written = {edition.name: now for edition in _replicated()}
    with begin(Unit(written=written)) as everybody:
        return _learned(everybody)


def _undecided() -> dict[ClusterName, Position]:
    """
    Return the time for each edition on whose primary a transaction is open here.

    Its position will be known after the commit, which is too late for the message.
    """
    in_transaction = observer(current()).in_transaction
    return {
        edition.name: _clock()
        for edition in _replicated()
        if in_transaction(connections[edition.primary])
    }


def _replicated() -> Iterator[Cluster]:
    return (edition for edition in get_topology().editions() if edition.replicas)


def _clock() -> Position:
    return Position.of_clock(time.time())


def _merged(
    found: list[dict[ClusterName, Position]],
) -> dict[ClusterName, Position]:
    """Return what contains all of them, the later ones being newer. Pure."""
    merged: dict[ClusterName, Position] = {}
    for tokens in found:
        for name, position in tokens.items():
            before = merged.get(name)
            merged[name] = before.merge(position) if before else position
    return merged
