"""
Takes what `send` was told, gives the one database whose transaction the message joins.

Guesses nothing: where the answer is not clear, the error says what would make it so.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connections, router
from django.db.models import Model

from shoal.conf import SHARDED_ENGINE
from shoal.errors import OutboxError, did_you_mean
from shoal.topology import get_topology
from shoal.types import Alias


def address(using: Alias | None, instance: Model | None) -> Alias:
    """Return the alias of a database with an open transaction of the project's."""
    if using is None and instance is not None:
        using = router.db_for_write(type(instance), instance=instance)
    alias = _only_open() if using is None else _database(using, instance)
    if not is_open(alias):
        raise OutboxError(
            f"outbox.send() was called outside of a transaction on {alias!r}, where "
            "a crash could part the message from what it tells of.",
            hint="Write both in one block: "
            f"with transaction.atomic(using={using or alias!r}): ...",
        )
    return alias


def is_open(alias: Alias) -> bool:
    """
    Say whether the project has a transaction open there.

    What a `TestCase` has opened is none: in production it would not be there.
    """
    connection: Any = connections[alias]
    if is_in_block(connection):
        return True
    owner = getattr(connection, "shoal_owner", lambda: None)()
    if owner is not None and is_in_block(owner):
        # The first statement on this shard will join it.
        return True
    return not connection.in_atomic_block and not connection.get_autocommit()


def is_in_block(connection: Any) -> bool:
    """Say whether an `atomic()` is open that is not of a `TestCase`."""
    return bool(connection.in_atomic_block) and any(
        not getattr(block, "_from_testcase", False)
        for block in connection.atomic_blocks
    )


def _database(using: Alias, instance: Model | None) -> Alias:
    """Return the database behind an alias: of a sharded one the row's shard."""
    if using not in connections:
        raise OutboxError(
            f"outbox.send() was given using={using!r}, which is not in DATABASES.",
            hint=did_you_mean(str(using), list(connections.settings)),
        )
    primary = get_topology().primary_of_replica(using)
    if primary is not None:
        raise OutboxError(
            f"outbox.send() was given using={using!r}, which is a replica.",
            hint=f"Send on its primary: using={primary!r}.",
        )
    if not is_sharded(using):
        return using
    if instance is not None:
        return _shard_of(instance)
    return _only_joined(using)


def is_sharded(alias: Alias) -> bool:
    return bool(connections.settings[alias]["ENGINE"] == SHARDED_ENGINE)


def _shard_of(instance: Model) -> Alias:
    """Return the shard of a row, from its own columns."""
    from shoal.placement.buckets import bucket_map
    from shoal.placement.layout import bucket_of, layout_of
    from shoal.placement.scopes import sharded_cluster_of

    cluster = sharded_cluster_of(type(instance))
    layout = layout_of(type(instance), cluster)
    if layout.kind != "sharded":
        return cluster.home.primary
    fields = type(instance)._meta.concrete_fields
    values = {str(field.column): getattr(instance, field.attname) for field in fields}
    return bucket_map(cluster).shard_of(bucket_of(layout, values))


def _only_joined(using: Alias) -> Alias:
    joined = _joined(connections[using])
    if len(joined) == 1:
        return joined[0]
    raise OutboxError(
        f"outbox.send() was given using={using!r}, and of the shards in its "
        f"transaction {_there(joined)}.",
        hint="Name the row that the message tells of: instance=..., or the shard: "
        "using=shard_of(Model, key).",
    )


def _joined(sharded: Any) -> list[Alias]:
    """Return the shards on which something was done in a sharded alias' transaction."""
    if not is_in_block(sharded):
        return []
    shards = (shard.primary for shard in sharded.cluster.shards)
    return [shard for shard in shards if sharded.transaction.has_joined(shard)]


def _only_open() -> Alias:
    opened: dict[Alias, None] = {}
    for connection in list(connections.all(initialized_only=True)):
        alias = connection.alias
        if get_topology().primary_of_replica(alias) is not None:
            continue
        if is_sharded(alias):
            opened |= dict.fromkeys(_joined(connection))
        elif is_in_block(connection):
            opened[alias] = None
    if len(opened) == 1:
        return next(iter(opened))
    raise OutboxError(
        "outbox.send() was not told in which database, and of those with an open "
        f"transaction {_there(opened)}.",
        hint="Name the row that the message tells of: instance=..., or the alias: "
        "using=..., inside of `with transaction.atomic(using=...)`.",
    )


def _there(aliases: Iterable[Alias]) -> str:
    listed = ", ".join(map(repr, aliases))
    return f"there are several: {listed}" if listed else "there is none"
