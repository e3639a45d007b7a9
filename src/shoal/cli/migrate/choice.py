"""Takes what servers say and the topology, gives the aliases to migrate. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shoal.errors import MigrateError
from shoal.topology import Topology
from shoal.topology.probe import ServerFacts, ServerProblem
from shoal.types import Alias

Tables = Callable[[Alias], frozenset[str]]
"""The labels of the models whose tables belong on an alias."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    aliases: tuple[Alias, ...]
    skipped: Mapping[Alias, str]
    """Why the others are left alone."""


def candidates(configured: Sequence[Alias], topology: Topology) -> list[Alias]:
    """Return every alias that may hold tables: primaries first, then the others."""
    primaries = [edition.primary for edition in topology.editions()]
    others = [alias for alias in configured if alias not in topology.by_alias]
    return list(dict.fromkeys([*primaries, *others]))


def replicas(topology: Topology) -> dict[Alias, str]:
    return {
        replica.alias: f"a replica of {edition.primary!r}"
        for edition in topology.editions()
        for replica in edition.replicas
    }


def refuse_replicas(requested: Sequence[Alias], topology: Topology) -> None:
    for alias in requested:
        primary = topology.primary_of_replica(alias)
        if primary is not None:
            raise MigrateError(
                f"{alias!r} is a replica of {primary!r}: it is given whatever "
                "happens there.",
                hint=f"Migrate the primary: --database {primary}.",
            )


def choose(
    wanted: Sequence[Alias],
    facts: Mapping[Alias, ServerFacts],
    topology: Topology,
    tables: Tables,
) -> Choice:
    """
    Leave out replicas that the setting does not list, and second names of a database.

    A second name whose tables the first one does not get is an error: one record of
    applied migrations cannot tell the two apart.
    """
    aliases: list[Alias] = []
    skipped = {}
    first: dict[str, Alias] = {}
    for alias in wanted:
        mine = facts[alias]
        if mine.is_replica and alias not in topology.by_alias:
            skipped[alias] = f"its server {mine.server!r} is a replica"
            continue
        other = first.setdefault(mine.identity or alias, alias)
        if other == alias:
            aliases.append(alias)
            continue
        missing = tables(alias) - tables(other)
        if missing:
            raise _would_be_missing(alias, other, sorted(missing), mine)
        skipped[alias] = f"the same database as {other!r}"
    return Choice(aliases=tuple(aliases), skipped=skipped)


def _would_be_missing(
    alias: Alias, other: Alias, missing: list[str], facts: ServerFacts
) -> MigrateError:
    shown = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
    return MigrateError(
        f"{other!r} and {alias!r} are the same database ({facts.database!r} on "
        f"{facts.server!r}), but {shown} may have a table on {alias!r} only.",
        hint="Give each alias a database of its own, or place everything on one of "
        "the two. Nothing was changed.",
    )


def refuse_problems(problems: Sequence[ServerProblem]) -> None:
    """Raise for what is wrong with the servers, all of it at once."""
    wrong = [p for p in problems if p.level == "error" and p.id not in _HANDLED]
    if len(wrong) == 1:
        raise MigrateError(wrong[0].message, hint=f"{wrong[0].hint} {_NOTHING}")
    if wrong:
        listed = "".join(f"\n- {p.message} {p.hint}" for p in wrong)
        raise MigrateError(
            f"{len(wrong)} databases cannot be migrated:{listed}", hint=_NOTHING
        )


_NOTHING = "Nothing was changed anywhere."
_HANDLED = {"shoal.E017"}
"""Two names of one database: `choose` knows when that is wrong."""
