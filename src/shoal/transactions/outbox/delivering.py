"""
Takes the databases of the project, delivers the messages that are due in them.

Imports models when it is called: this is imported where models are defined.
"""

import logging
from collections.abc import Callable, Sequence

from django.db import Error, close_old_connections

from shoal.errors import ShoalError
from shoal.transactions.outbox.sources import checked, discover, refuse_inside, sources
from shoal.transactions.outbox.values import Tally
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions.outbox")


def deliver(
    using: Alias | Sequence[Alias] | None = None,
    *,
    may_go_on: Callable[[], bool] = lambda: True,
) -> dict[Alias, Tally]:
    """
    Deliver all that is due in one database, in several or in all; return what was done.

    A database that cannot be asked says so in its tally, and others are gone on with.
    Raises `OutboxError` inside of a transaction.
    """
    from shoal.transactions.outbox.tidying import tidy

    refuse_inside()
    discover()
    chosen = [using] if isinstance(using, str) else using
    aliases = sources() if chosen is None else checked(chosen)
    tallies = {alias: _deliver_from(alias, may_go_on) for alias in aliases}
    if may_go_on():
        # What is sent in one database is received on others.
        tidy(sources())
    return tallies


def _deliver_from(alias: Alias, may_go_on: Callable[[], bool]) -> Tally:
    from shoal.transactions.outbox.box import opened
    from shoal.transactions.outbox.draining import Drain

    tally = Tally()
    try:
        with opened(alias) as box:
            if box is not None and box.is_there():
                drain = Drain(box, tally, may_go_on)
                drain.empty()
                drain.look_around()
    except (Error, ShoalError) as error:
        tally.error = str(error).strip()
        logger.warning(
            "source failed",
            extra={"event": "source_failed", "alias": alias, "reason": tally.error},
        )
    finally:
        close_old_connections()
    return tally
