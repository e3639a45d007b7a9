"""Takes what a server answered and what was known of it, gives how it is. Pure."""

from dataclasses import replace

from shoal.routing.health.lag import PrimaryLog
from shoal.routing.health.values import Health, Look, State

SMOOTHING = 0.2
"""How much the latest answer counts in the smoothed latency."""
SETTLED_AFTER = 1.0
"""Seconds in which a replica that has just been met may reach the primary."""


def of_primary(before: Health, look: Look, *, now: float) -> Health:
    """Judge a primary. `now` is in seconds since the epoch."""
    state: State = "demoted" if look.is_replica else "up"
    return _seen(before, look, state, now)


def of_replica(
    before: Health, look: Look, log: PrimaryLog, *, max_lag: float, now: float
) -> Health:
    """Judge a replica by the log of its primary."""
    lag = _lag(look, log)
    behind = None
    if look.position is not None and log.latest is not None:
        behind = log.latest.beyond(look.position)
    health = _seen(before, look, _state(look, lag, log, max_lag), now)
    return replace(health, lag=lag, behind=behind)


def failed(before: Health, error: str, *, now: float) -> Health:
    """Judge a server that refused, whatever it was asked."""
    return replace(_in(before, "down", now), error=error)


def silent(before: Health, *, now: float) -> Health:
    """Judge a server that has not answered for too long."""
    return _in(before, "silent", now)


def forgotten(before: Health, *, now: float) -> Health:
    """
    Judge a server that nobody looks at any more.

    Its position is forgotten: it may be another server's, or an older copy's, by the
    time that somebody looks again.
    """
    return replace(_in(before, "unknown", now), position=None)


def _seen(before: Health, look: Look, state: State, now: float) -> Health:
    took = look.answered_at - look.asked_at
    known = before.latency or took
    return replace(
        _in(before, state, now),
        error="",
        position=look.position,
        asked_at=look.asked_at,
        latency=known + SMOOTHING * (took - known),
    )


def _in(before: Health, state: State, now: float) -> Health:
    since = before.since if before.state == state else now
    return replace(before, state=state, since=since)


def _lag(look: Look, log: PrimaryLog) -> float | None:
    if look.position is None:
        return None
    lag = log.lag(look.position)
    return look.age if lag is None else lag


def _state(look: Look, lag: float | None, log: PrimaryLog, max_lag: float) -> State:
    if look.is_replica is False:
        return "promoted"
    if lag is None and look.position is not None and log.latest is not None:
        # It has reached nothing that the primary was ever seen at.
        return "lagging" if log.span() >= SETTLED_AFTER else "unknown"
    return "lagging" if lag is not None and lag > max_lag else "up"
