"""Which server of a cluster. Takes a cluster and the context, gives an alias."""

import random
from collections.abc import Sequence
from typing import Any

from django.db import connections

from shoal.routing.context import Context, Unit, current, current_unit
from shoal.topology import Cluster, Replica
from shoal.types import Alias


def for_write(cluster: Cluster, instance: Any = None) -> Alias:
    """Return the primary of the edition that this unit of work is on."""
    return edition_for(cluster, instance, current()).primary


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
    unit = current_unit()
    if not wants_replica(edition, context, unit) or in_transaction(edition.primary):
        return edition.primary
    chosen = unit.members.get(edition.name)
    if chosen not in edition.aliases:
        chosen = pick_replica(edition.replicas, random.random()) or edition.primary
        unit.members[edition.name] = chosen
    return chosen


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


def wants_replica(edition: Cluster, context: Context, unit: Unit) -> bool:
    """Say whether a read may go to a replica, as far as the context can tell. Pure."""
    pin = context.pins.get(edition.name)
    if pin is not None:
        return not pin
    if edition.consistency == "session":
        return edition.name not in unit.written
    return edition.consistency == "eventual"


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


def in_transaction(alias: Alias) -> bool:
    """Say whether this thread has a transaction open on `alias`."""
    connection = connections[alias]
    return connection.in_atomic_block or (
        connection.connection is not None and not connection.autocommit
    )
