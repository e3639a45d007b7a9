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
    """
    Return every alias that may hold tables: primaries first, then the others.

    A sharded alias stands for its shards. First of all comes the control database,
    which the ids of sharded tables are from.
    """
    found: list[Alias] = []
    for cluster in topology.clusters.values():
        editions = (cluster,) if cluster.is_sharded else cluster.all_editions
        found += [edition.primary for edition in editions]
    found += [alias for alias in configured if alias not in topology.by_alias]
    return sorted(dict.fromkeys(found), key=lambda alias: alias != topology.control)


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


def refuse_shards(requested: Sequence[Alias], topology: Topology) -> None:
    for alias in requested:
        cluster = topology.sharded_cluster_of(alias)
        if cluster is not None:
            raise MigrateError(
                f"{alias!r} is a shard of {cluster.name!r}: all of its shards are "
                "migrated together.",
                hint=f"Migrate the cluster: --database {cluster.name}. It also brings "
                "a shard up to the others that lacks what they have. With --fake, one "
                "shard alone may record what the others have.",
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
        servers = topology.servers_behind(alias)
        if servers != (alias,):
            _claim_shards(alias, servers, facts, first)
            aliases.append(alias)
            continue
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


def _claim_shards(
    alias: Alias,
    servers: Sequence[Alias],
    facts: Mapping[Alias, ServerFacts],
    first: dict[str, Alias],
) -> None:
    """Note the databases of the shards; each has to be nobody else's."""
    for shard in servers:
        identity = facts[shard].identity or shard
        if identity in first:
            other = first[identity]
            raise MigrateError(
                f"The shard {shard!r} of {alias!r} is the same database as "
                f"{f'another shard of {other!r}' if other == alias else repr(other)} "
                f"({facts[shard].database!r} on {facts[shard].server!r}).",
                hint="Give each shard a database of its own. Nothing was changed.",
            )
        first[identity] = alias


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
