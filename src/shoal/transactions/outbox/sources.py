"""Takes the settings, gives the databases that messages are in, and who delivers."""

from collections.abc import Iterable

from django.db import connections
from django.utils.module_loading import autodiscover_modules

from shoal.conf import is_configured
from shoal.errors import OutboxError, did_you_mean
from shoal.topology import get_topology
from shoal.transactions.outbox.addressing import is_sharded
from shoal.types import Alias


def sources() -> list[Alias]:
    """Return every database in which a message may be: no replicas."""
    topology = get_topology()
    return [
        alias
        for alias, database in connections.settings.items()
        if is_configured(database)
        and not is_sharded(alias)
        and topology.primary_of_replica(alias) is None
    ]


def checked(aliases: Iterable[Alias]) -> list[Alias]:
    """Return them, or raise `OutboxError` for one in which no message can be."""
    known = sources()
    for alias in aliases:
        if alias not in connections:
            raise OutboxError(
                f"Messages of {alias!r} cannot be delivered: it is not in DATABASES.",
                hint=did_you_mean(alias, known),
            )
        if alias not in known:
            raise OutboxError(
                f"No message is sent in {alias!r}: it is empty in DATABASES, a "
                "replica, or a sharded alias, whose messages are on its shards.",
                hint=f"These have some: {', '.join(map(repr, known)) or 'none'}.",
            )
    return list(aliases)


def discover() -> None:
    """Import `receivers.py` of each app that has one."""
    autodiscover_modules("receivers")


def refuse_inside() -> None:
    """Raise where what a receiver does could still be rolled back."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            raise OutboxError(
                "Messages cannot be delivered inside of the transaction that is open "
                f"on {connection.alias!r}.",
                hint="Call deliver() outside of atomic(); in a TestCase call "
                "shoal.testing.deliver_all().",
            )
