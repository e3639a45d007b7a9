"""
Takes what has just run in a block, raises where its writes would be lost in silence.

Django rolls a block back without an error whose connection was closed inside, or for
which somebody has said so; whoever notes that the work is done has to know.
"""

from typing import Any

from django.db import connections

from shoal.errors import WritesLost
from shoal.transactions.engines import was_undone


def refuse_loss(what: str) -> None:
    for connection in connections.all(initialized_only=True):
        own: Any = connection
        if own.in_atomic_block and (own.needs_rollback or was_undone(own)):
            raise WritesLost(
                f"{what} has ended well, and what it wrote on {own.alias!r} would be "
                "rolled back, or is: it has closed the connection, a block inside of "
                "it that has no savepoint has failed, or MariaDB has ended a deadlock.",
                hint="Close no connection there, give the inner atomic() its "
                "savepoint, or let the error out.",
            )
