"""Which server of a cluster. Takes a cluster and the context, gives an alias."""

import functools
import random
from collections.abc import Sequence
from threading import local
from typing import Any

from django.db import connections

from shoal.errors import PrimaryUnavailable
from shoal.routing import writes
from shoal.routing.context import Choice, Context, Reason, Unit, current, current_unit
from shoal.routing.health import Health, get_watch
from shoal.routing.listeners import listeners
from shoal.routing.observers import Observer, observer
from shoal.topology import Cluster, Replica
from shoal.types import Alias

_choice = functools.lru_cache(maxsize=None)(Choice)


class _Thread(local):
    """What stands for this thread. Its number is given to another one after it."""

    def __init__(self) -> None:
        self.key = object()


_thread = _Thread()


def for_write(cluster: Cluster, instance: Any = None) -> Alias:
    """
    Return the primary of the edition that this unit of work is on.

    Raises `PrimaryUnavailable` if it is known to be gone, and this thread has no
    connection to it that may know better.
    """
    edition = edition_for(cluster, instance, current())
    if edition.replicas:
        _refuse_without_primary(edition)
    return edition.primary


def for_read(cluster: Cluster, instance: Any = None) -> Alias:
    """
    Return the primary, or the replica that serves this unit of work.

    Does no I/O. Inside `atomic()` of the primary it is the primary, since only that
    connection sees the transaction.
    """
    context = current()
    edition = edition_for(cluster, instance, context)
    if not edition.replicas:
        return edition.primary
    unit = context.unit or current_unit()
    choice = _choose(edition, context, unit)
    # The same choice is the same object, so that telling them apart costs nothing.
    if unit.reasons.get(edition.name) is not choice:
        unit.reasons[edition.name] = choice
        for tell in listeners:
            tell(edition, choice)
    return choice.alias


def _choose(edition: Cluster, context: Context, unit: Unit) -> Choice:
    pin = context.pins.get(edition.name)
    if pin:
        return _choice(edition.primary, "pinned")
    if pin is None and edition.consistency == "primary":
        return _choice(edition.primary, "consistency")
    watch = context.observer or get_watch()
    if watch.in_transaction(_connection(edition, unit)):
        return _choice(edition.primary, "transaction")
    any_will_do = pin is False or edition.consistency == "eventual"
    kept = unit.any_members if any_will_do else unit.members
    choice = kept.get(edition.name)
    if choice is None or choice.alias not in watch.serving:
        watch.wake()
        choose = _any if any_will_do else _fresh
        choice = choose(edition, unit, watch)
        if unit.begun or choice.alias != edition.primary:
            kept[edition.name] = choice
            if not any_will_do:
                _drop_if_written(edition, unit)
    return choice


def _drop_if_written(edition: Cluster, unit: Unit) -> None:
    """Keep no choice that another thread of this unit has written during."""
    if edition.name in unit.written or edition.name in unit.open_writes:
        choice = unit.members.get(edition.name)
        if choice is not None and choice.alias != edition.primary:
            unit.members.pop(edition.name, None)


def _connection(edition: Cluster, unit: Unit) -> Any:
    """
    Return this thread's connection to the primary.

    Kept for a unit of work that somebody has begun, since looking one up costs more
    than all the rest of the choice.
    """
    thread = _thread.key
    kept = unit.connections.get(edition.name)
    if kept is not None and kept[0] is thread:
        return kept[1]
    connection = connections[edition.primary]
    if unit.begun:
        unit.connections[edition.name] = (thread, connection)
    return connection


def _any(edition: Cluster, unit: Unit, watch: Observer) -> Choice:
    """Choose whatever the unit has written."""
    alias = pick(_usable(edition, unit, watch), watch, random.random)
    if alias is None:
        return _choice(edition.primary, "no replica")
    return _choice(alias, "any replica")


def _fresh(edition: Cluster, unit: Unit, watch: Observer) -> Choice:
    """Choose who shows all that the unit must not miss."""
    writes.settle(unit, edition)
    if edition.name in unit.open_writes:
        return _choice(edition.primary, "own write")
    written = unit.written.get(edition.name)
    if written is not None:
        # Outside of a unit of work, the watch may have learned the position by now.
        position = None if unit.begun else watch.primary_since(edition, written)
        if position is None:
            return _choice(edition.primary, "own write")
        writes.keep(unit, edition, position, written)
    token = unit.tokens.get(edition.name)
    if token is None:
        return _any(edition, unit, watch)
    usable = _usable(edition, unit, watch)
    fresh = [one for one in usable if watch.has_reached(one.alias, token)]
    alias = pick(fresh, watch, random.random)
    if alias is not None:
        return _choice(alias, "caught up")
    reason: Reason = "not caught up" if usable else "no replica"
    return _choice(edition.primary, reason)


def _usable(edition: Cluster, unit: Unit, watch: Observer) -> list[Replica]:
    return [
        one
        for one in edition.replicas
        if watch.is_usable(one.alias) and one.alias not in unit.avoided
    ]


def pick(replicas: Sequence[Replica], watch: Observer, draw: Any) -> Alias | None:
    """
    Return a replica by weight; of more than two, the quicker of two that are drawn.

    Drawing two and taking the better one spreads load nearly as well as knowing all,
    and does not send everybody to the one that is quickest now (Mitzenmacher, "The
    Power of Two Choices in Randomized Load Balancing", 2001).
    """
    first = pick_replica(replicas, draw())
    if first is None or len(replicas) <= 2:
        return first
    rest = [one for one in replicas if one.alias != first]
    second = pick_replica(rest, draw())
    health: dict[Alias, Health] = watch.health
    if second is None or health[first].latency <= health[second].latency:
        return first
    return second


def pick_replica(replicas: Sequence[Replica], draw: float) -> Alias | None:
    """
    Return the replica that `draw`, from 0 up to 1, falls on by weight. Pure.

    A replica of weight 0 is never picked; `None` if no other is there.
    """
    left = draw * sum(replica.weight for replica in replicas)
    for replica in replicas:
        if left < replica.weight:
            return replica.alias
        left -= replica.weight
    return None


def edition_for(cluster: Cluster, instance: Any, context: Context) -> Cluster:
    """
    Return the edition to work on.

    An object stays on the edition that it was loaded from: saving a draft outside its
    role must not publish it.
    """
    if not cluster.editions:
        return cluster
    if instance is not None:
        home = cluster.edition_of_alias(instance._state.db)
        if home is not None:
            return home
    wanted = context.roles.get(cluster.name)
    return cluster.edition(wanted) if wanted is not None else cluster


def _refuse_without_primary(edition: Cluster) -> None:
    watch = observer(current())
    health: Health | None = watch.health.get(edition.primary)
    if health is None or health.state not in ("down", "demoted"):
        return
    if health.state == "down" and connections[edition.primary].connection is not None:
        return
    raise unavailable(edition, health.error or "it is a replica")


def unavailable(
    edition: Cluster, error: str, *, is_cut: bool = False
) -> PrimaryUnavailable:
    """Say what to do; `is_cut`: where a connection that was open has ended."""
    reads = (
        "Reads go on from its replicas. " if edition.consistency != "primary" else ""
    )
    start = "Start it, or"
    if is_cut:
        start = (
            "If it runs, only this connection was ended: with CONN_HEALTH_CHECKS "
            "Django looks before it uses one again. If not, start it, or"
        )
    return PrimaryUnavailable(
        f"The primary {edition.primary!r} cannot be written to: {error}.",
        hint=f"{reads}{start} promote a replica and let "
        f"DATABASES[{edition.primary!r}] lead there. `manage.py shoal status` shows "
        "all servers.",
    )
