"""
Takes a unit of work, gives its token as signed text, and the other way round.

The text holds positions by cluster, each with its system and timeline. An old one asks
for what every replica has long had, so that it needs no date; a forged one is refused.
"""

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.core import signing

from shoal.errors import BadToken
from shoal.routing import writes
from shoal.routing.context import Unit, begin, current, current_unit
from shoal.routing.observers import observer
from shoal.topology import Cluster, Position, get_topology
from shoal.types import ClusterName

SALT = "shoal.token"
LONGEST = 4000
"""Characters. A cookie that is longer is not kept by browsers (RFC 6265, 6.1)."""
MEET_WITHIN = 0.25
"""Seconds that a unit of work waits for the first look at its servers."""
ASK_WITHIN = 0.05
"""Seconds that a unit of work waits to learn whether a replica has caught up."""


def export_token() -> str:
    """
    Return the token of the current unit of work, signed; `""` if it has none.

    Hand it to whatever goes on with this work: a task, another process. Asks the
    primary for its position if the unit has written since it was last asked. Inside
    `atomic()` it knows nothing of that transaction: call it after the commit.
    """
    unit = current_unit()
    writes.learn(unit)
    return pack(lasting(unit))


async def aexport_token() -> str:
    """Return as `export_token`."""
    return await sync_to_async(export_token)()


class with_token:
    """
    Begin a unit of work whose reads are not behind a token of `export_token`.

    A context manager, sync and async. Takes `""` or `None` for "no token". Raises
    `BadToken` for anything that `export_token` has not returned.
    """

    def __init__(self, token: str | None) -> None:
        self._tokens = unpack(token) if token else {}
        self._begun: list[Any] = []

    def __enter__(self) -> Self:
        unit = Unit(tokens=dict(self._tokens))
        welcome(unit)
        self._begin(unit)
        return self

    def _begin(self, unit: Unit) -> None:
        block = begin(unit)
        block.__enter__()
        self._begun.append(block)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._begun.pop().__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        unit = Unit(tokens=dict(self._tokens))
        await sync_to_async(welcome, thread_sensitive=False)(unit)
        self._begin(unit)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def lasting(unit: Unit) -> dict[ClusterName, Position]:
    """Return the tokens that are worth passing on."""
    return {k: v for k, v in unit.tokens.items() if k not in unit.dropped}


def pack(tokens: Mapping[ClusterName, Position]) -> str:
    """Return the tokens as signed text; `""` for none."""
    if not tokens:
        return ""
    text = _sign(tokens)
    if len(text) <= LONGEST:
        return text
    # Of a MySQL server that has taken over very often, say. The time is short.
    return _sign(dict.fromkeys(tokens, Position.of_clock(time.time())))


def _sign(tokens: Mapping[ClusterName, Position]) -> str:
    data = {name: position.as_json() for name, position in tokens.items()}
    return signing.Signer(salt=SALT).sign_object(data, compress=True)


def unpack(text: str) -> dict[ClusterName, Position]:
    """Return the positions for the clusters that are still there, or raise."""
    if len(text) > LONGEST:
        raise BadToken(
            f"A token of {len(text)} characters was refused; none is longer than "
            f"{LONGEST}.",
            hint="Pass on what export_token() returns, as it is.",
        )
    try:
        data = signing.Signer(salt=SALT).unsign_object(text)
        found = {str(k): Position.from_json(v) for k, v in data.items()}
    except Exception as error:  # zlib, base64, JSON: whatever a stranger may send.
        raise BadToken(
            "A token was refused: its signature does not fit, or it was cut off.",
            hint="Pass on what export_token() returns, as it is. Processes that "
            "exchange tokens need the same SECRET_KEY.",
        ) from error
    known = {edition.name for edition in get_topology().editions() if edition.replicas}
    return {name: position for name, position in found.items() if name in known}


def welcome(unit: Unit) -> None:
    """
    Learn what routing needs to know of the servers, where it is not known yet.

    Waits for servers that were never looked at, and asks once where no replica is
    known to have reached the unit's token. In the steady state it asks nobody.
    """
    watch = observer(current())
    for edition in get_topology().editions():
        if not edition.replicas:
            continue
        watch.meet(edition, within=MEET_WITHIN)
        token = unit.tokens.get(edition.name)
        if token is None or _is_known(edition, token):
            continue
        if not watch.ask(edition, token, within=ASK_WITHIN):
            _drop_of_the_past(unit, edition, token)


def catch_up(editions: Iterable[ClusterName], *, within: float) -> None:
    """
    Wait until replicas of these editions show what this unit of work must not miss.

    Takes `within` seconds at most for all of them. Whatever came of it, the unit
    chooses its members anew.
    """
    unit = current_unit()
    writes.learn(unit)
    watch = observer(current())
    until = time.monotonic() + within
    wanted = set(editions)
    for edition in get_topology().editions():
        if edition.name not in wanted or not edition.replicas:
            continue
        token = unit.tokens.get(edition.name)
        if token is not None and not _is_known(edition, token):
            left = max(until - time.monotonic(), 0.0)
            watch.wait(edition, token, within=left)
        unit.members.pop(edition.name, None)


def _is_known(edition: Cluster, token: Position) -> bool:
    watch = observer(current())
    return any(
        watch.is_usable(replica.alias) and watch.has_reached(replica.alias, token)
        for replica in edition.replicas
    )


def _drop_of_the_past(unit: Unit, edition: Cluster, token: Position) -> None:
    """
    Drop a token of another system or timeline, and read from the primary this time.

    A failover has happened since. What the token stood for is on the new primary, or
    was lost with the old one.
    """
    watch = observer(current())
    if token.moment is not None or not watch.look_again(
        edition.primary, within=ASK_WITHIN
    ):
        return
    primary = watch.health[edition.primary]
    # A demoted one may be the old one, at an address that is about to lead elsewhere.
    position = primary.position if primary.state == "up" else None
    if position is not None and not position.comparable(token):
        unit.dropped.add(edition.name)
