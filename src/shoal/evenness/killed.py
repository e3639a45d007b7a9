"""
Takes servers, finishes a migration there that was killed while it committed on several.

It has locked what it changes, so nobody could migrate behind it.
"""

from collections.abc import Iterable

from shoal.errors import MigrateError
from shoal.placement.models import MIGRATIONS
from shoal.transactions.reaching import Reach
from shoal.transactions.recovering import look, recover
from shoal.types import Alias


def finish_killed(servers: Iterable[Alias]) -> list[str]:
    """
    Return in words what was finished; usually nothing was to be.

    Raises `MigrateError` for what cannot be finished now.
    """
    with Reach() as reach:
        listed = look(reach, servers)
    found = [one for one in listed if one.alters or MIGRATIONS in one.tables]
    if not found:
        return []
    gids = {one.name.gid for one in found}
    done = [one for one in recover().found if one.branch.name.gid in gids]
    for one in done:
        if one.is_left:
            raise MigrateError(
                f"A migration that was killed is in doubt on {one.branch.alias!r}: "
                f"{one.why}.",
                hint="Run `manage.py shoal recover`, which says more.",
            )
    return [
        f"A migration that was killed on {one.branch.alias!r} is {one.fate} now."
        for one in done
    ]


def refuse_stale_plan(servers: Iterable[Alias]) -> None:
    """Finish it, too, but raise if the plan may have been made without it."""
    done = finish_killed(servers)
    if any("committed" in one for one in done):
        raise MigrateError(" ".join(done), hint="Run the same again.")
