"""Takes the databases, drops receipts that are old, and whose messages are gone."""

import logging
from collections.abc import Sequence
from contextlib import suppress

from django.db import Error

from shoal.transactions.outbox.box import opened
from shoal.transactions.outbox.keeping import forget, old_sources
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions.outbox")


def tidy(aliases: Sequence[Alias]) -> int:
    """Return how many receipts were dropped. What cannot be asked is left as it is."""
    identities: dict[str, Alias] = {}
    count = 0
    for alias in aliases:
        try:
            count += _tidy_one(alias, aliases, identities)
        except Error as error:
            logger.debug(
                "receipts not dropped",
                extra={"event": "tidy_failed", "alias": alias, "reason": str(error)},
            )
    return count


def _tidy_one(
    alias: Alias, aliases: Sequence[Alias], identities: dict[str, Alias]
) -> int:
    count = 0
    with opened(alias) as there:
        if there is None or not there.is_there():
            return 0
        for source in old_sources(there.control):
            if not identities:
                identities.update(_identities(aliases))
            if source in identities:
                with opened(identities[source]) as here:
                    if here is not None:
                        count += forget(there.control, here.control, source)
    return count


def _identities(aliases: Sequence[Alias]) -> dict[str, Alias]:
    found = {}
    for alias in aliases:
        with suppress(Error), opened(alias) as box:
            if box is not None and box.is_there():
                found[box.identity()] = alias
    return found
