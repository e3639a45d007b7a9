"""Takes the connections of a unit of work, says what is open around it on any."""

from collections.abc import Iterable, Mapping
from typing import Any

from shoal.errors import UnitRefused
from shoal.transactions.joining import Work, owner_of, work_of
from shoal.types import Alias


def unit_around(members: Mapping[Alias, Any]) -> tuple[Work | None, Alias | None]:
    """Return the work that some are in, or else where a block is open around it."""
    works: dict[int, Work] = {}
    new = []
    for connection in members.values():
        work = work_of(connection)
        if work is None:
            new.append(connection)
        else:
            works[id(work)] = work
    if len(works) > 1:
        raise UnitRefused(
            f"atomic({_listed(members)}) would join two units of work that commit "
            "apart.",
            hint="Name the clusters of both in the outermost atomic().",
        )
    around = next(filter(None, map(_open_on, new)), None)
    work = next(iter(works.values()), None)
    if work is not None and new and (around := around or work.inside):
        raise foreign(around, members)
    return work, around


def _open_on(connection: Any) -> Alias | None:
    """Return where a block is open: there, on its sharded alias, or on a shard."""
    owner = owner_of(connection)
    if _is_open(connection) or (owner is not None and _is_open(owner)):
        return str(connection.alias)
    if getattr(connection, "is_sharded", False):
        found = map(_open_on, connection.shard_connections())
        return next(filter(None, found), None)
    return None


def _is_open(connection: Any) -> bool:
    """Say whether a block is open there that no `TestCase` has opened."""
    blocks = connection.atomic_blocks
    return bool(blocks) and not getattr(blocks[-1], "_from_testcase", False)


def foreign(around: Alias, members: Iterable[Alias]) -> UnitRefused:
    return UnitRefused(
        f"A transaction is open on {around!r} already, and would commit without the "
        f"rest of atomic({_listed(members)}).",
        hint="Enter this atomic() outside of django.db.transaction.atomic() and of "
        "ATOMIC_REQUESTS, or let the outer block be shoal.transactions.atomic().",
    )


def _listed(aliases: Iterable[Alias]) -> str:
    return ", ".join(map(repr, aliases))
