"""
Takes facts of servers and the topology, gives what is wrong with them. Pure.

Ids are those of the system checks; each has a heading in their reference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from shoal.topology.clusters import Cluster, Topology
from shoal.topology.probe.facts import ServerFacts, Trouble
from shoal.types import Alias

Facts = Mapping[Alias, ServerFacts]


@dataclass(frozen=True, kw_only=True)
class ServerProblem:
    """One thing that is wrong with the server behind an alias."""

    alias: Alias
    id: str
    level: Literal["error", "warning", "info"]
    message: str
    hint: str


def problems(facts: Facts, topology: Topology) -> list[ServerProblem]:
    """Return what is wrong with these servers; look at no other alias."""
    found = [_unusable(one) for one in facts.values() if one.trouble]
    for edition in topology.editions():
        found += _of_primary(edition, facts)
        for replica in edition.replicas:
            found += _of_replica(replica.alias, edition, facts)
    found += _same_database(facts, topology)
    found += _cannot_prepare(facts, topology)
    return found


def _error(alias: Alias, id: str, message: str, hint: str) -> ServerProblem:
    return ServerProblem(
        alias=alias, id=f"shoal.{id}", level="error", message=message, hint=hint
    )


def _warning(alias: Alias, id: str, message: str, hint: str) -> ServerProblem:
    return ServerProblem(
        alias=alias, id=f"shoal.{id}", level="warning", message=message, hint=hint
    )


_UNUSABLE: Mapping[Trouble, tuple[str, str]] = {
    "unreachable": ("E013", "The server of {alias!r} ({address}) cannot be reached"),
    "silent": ("E013", "The server of {alias!r} ({address}) does not answer"),
    "refused": ("E014", "The server of {alias!r} ({address}) refuses user {user!r}"),
    "missing": (
        "E015",
        "The server of {alias!r} ({address}) has no database {database!r}",
    ),
    "too_old": ("E016", "The server of {alias!r} ({address}) is too old for Django"),
    "settings": ("E019", "DATABASES[{alias!r}] cannot be used"),
}


def _unusable(facts: ServerFacts) -> ServerProblem:
    id, text = _UNUSABLE[facts.trouble]
    fact = text.format(
        alias=facts.alias,
        address=facts.address,
        user=facts.user,
        database=facts.database,
    )
    if facts.trouble != "missing":
        fact += f": {facts.error.rstrip('.?!').removeprefix('FATAL: ')}"
    return _error(facts.alias, id, f"{fact}.", _way_out(facts))


def _way_out(facts: ServerFacts) -> str:
    where = f"DATABASES[{facts.alias!r}]"
    if facts.trouble == "refused":
        return f"Check USER and PASSWORD in {where}, and what the server lets in."
    if facts.trouble == "silent":
        return (
            "Is it overloaded or stopped, or does a firewall drop what is sent there? "
            f"If it should be elsewhere, correct HOST and PORT in {where}."
        )
    if facts.trouble == "missing":
        return f"Create it: {create_database(facts)}"
    if facts.trouble == "too_old":
        return "Upgrade the server, or use a version of Django that supports it."
    if facts.trouble == "settings":
        return f"Check ENGINE and OPTIONS in {where}, and that the driver is installed."
    if facts.vendor == "sqlite":
        return f"Create the directory of the file, or correct NAME in {where}."
    return f"Start the server, or correct HOST and PORT in {where}."


def create_database(facts: ServerFacts) -> str:
    """Return the SQL that creates the database that an alias names."""
    if facts.vendor == "mysql":
        return (
            f"CREATE DATABASE `{facts.database}` CHARACTER SET utf8mb4; "
            f"GRANT ALL ON `{facts.database}`.* TO '{facts.user}';"
        )
    owner = f' OWNER "{facts.user}"' if facts.user else ""
    return f'CREATE DATABASE "{facts.database}"{owner};'


def _of_primary(edition: Cluster, facts: Facts) -> Iterator[ServerProblem]:
    mine = facts.get(edition.primary)
    if mine is not None and mine.is_replica:
        yield _error(
            edition.primary,
            "E007",
            f"{edition.primary!r} is the primary of a cluster, but its server "
            f"{mine.server!r} is a replica{_of(mine)}.",
            f"Let {edition.primary!r} lead to the primary, or promote this server.",
        )


def _of(replica: ServerFacts) -> str:
    return f" of {replica.follows}" if replica.follows else ""


def _of_replica(
    alias: Alias, edition: Cluster, facts: Facts
) -> Iterator[ServerProblem]:
    mine, primary = facts.get(alias), facts.get(edition.primary)
    if mine is None or not mine.reachable:
        return
    if mine.is_replica is False:
        yield _takes_writes(mine, edition.primary, primary)
        return
    if primary is not None and primary.reachable:
        yield from _other_source(mine, primary, edition, facts)
    if mine.connected is False:
        yield _warning(
            alias,
            "W010",
            f"The replica {alias!r} ({mine.server}) is not connected to its primary, "
            "so what it shows grows older.",
            f"Is {edition.primary!r} up, and does it let the replica in? The log of "
            f"{mine.server!r} says why.",
        )
    if mine.lag_seconds is not None and mine.lag_seconds > edition.max_lag:
        yield _warning(
            alias,
            "W007",
            f"The replica {alias!r} ({mine.server}) is {mine.lag_seconds:.0f} s behind "
            f"{edition.primary!r}; MAX_LAG is {edition.max_lag:g} s.",
            "Look for a long query or a paused replay there, or for a burst of writes "
            f'on {edition.primary!r}; or set a higher "MAX_LAG".',
        )


def _takes_writes(
    mine: ServerFacts, primary: Alias, facts: ServerFacts | None
) -> ServerProblem:
    listed = f"{mine.alias!r} is listed as a replica of {primary!r}"
    if facts is not None and facts.identity and mine.identity == facts.identity:
        return _error(
            mine.alias,
            "E007",
            f"{listed}, but it leads to the primary itself ({mine.server}).",
            f"Let DATABASES[{mine.alias!r}] lead to the replica, or remove it from "
            "the REPLICAS.",
        )
    if mine.vendor == "sqlite":
        return _error(
            mine.alias,
            "E007",
            f"{listed}, but SQLite has no replicas.",
            "Remove it from the REPLICAS.",
        )
    return _error(
        mine.alias,
        "E007",
        f"{listed}, but its server {mine.server!r} is not a replica: it was promoted, "
        "or never was one.",
        f"Make it follow {primary!r} again, or remove it from the REPLICAS. If it has "
        f"taken over, let DATABASES[{primary!r}] lead to it.",
    )


def _other_source(
    mine: ServerFacts, primary: ServerFacts, edition: Cluster, facts: Facts
) -> Iterator[ServerProblem]:
    # MariaDB and MySQL name the server directly above, which may be another replica.
    above = {
        facts[alias].system
        for alias in edition.aliases
        if alias != mine.alias and alias in facts
    }
    if primary.system and mine.follows_system and mine.follows_system not in above:
        yield _error(
            mine.alias,
            "E007",
            f"{mine.alias!r} is listed as a replica of {primary.alias!r}, but its "
            f"server {mine.server!r} follows another system{_named(mine)}: "
            f"{mine.follows_system}, and {primary.alias!r} is {primary.system}.",
            f"Let DATABASES[{mine.alias!r}] lead to a replica of {primary.alias!r}, or "
            "list it under its own primary.",
        )
    elif mine.database != primary.database:
        yield _error(
            mine.alias,
            "E007",
            f"{mine.alias!r} is listed as a replica of {primary.alias!r}, but reads "
            f"the database {mine.database!r} and not {primary.database!r}.",
            f"Give both the same NAME in DATABASES: {primary.database!r}.",
        )


def _named(mine: ServerFacts) -> str:
    return f" ({mine.follows})" if mine.follows else ""


def _same_database(facts: Facts, topology: Topology) -> Iterator[ServerProblem]:
    """Two aliases that keep data, and keep it in the same place."""
    first: dict[str, Alias] = {}
    for alias, mine in facts.items():
        if not mine.identity or topology.primary_of_replica(alias) is not None:
            continue
        other = first.setdefault(mine.identity, alias)
        if other == alias:
            continue
        message = (
            f"{other!r} and {alias!r} lead to the same database: {mine.database!r} on "
            f"{mine.server!r}."
        )
        hint = "Give each its own NAME, or use one alias for both."
        if {alias, other} <= topology.by_alias.keys():
            yield _error(alias, "E017", message, hint)
        else:
            yield _warning(alias, "W006", message, hint)


def _cannot_prepare(facts: Facts, topology: Topology) -> Iterator[ServerProblem]:
    for edition in topology.editions():
        mine = facts.get(edition.primary)
        if mine is None or mine.max_prepared_transactions != 0:
            continue
        if not edition.two_phase:
            # It is not asked to.
            continue
        sharded = topology.sharded_cluster_of(edition.primary)
        is_needed = sharded is not None and len(sharded.shards) > 1
        what = (
            f"so what is written on several shards of {sharded.name!r} at once is "
            "refused."
            if sharded is not None and is_needed
            else "so it cannot take part in a transaction over several servers."
        )
        yield ServerProblem(
            alias=edition.primary,
            id="shoal.W015" if is_needed else "shoal.I001",
            level="warning" if is_needed else "info",
            message=f"max_prepared_transactions is 0 on {mine.server!r} "
            f"({edition.primary!r}), {what}",
            hint="Set it to max_connections and restart the server, or say "
            '"TWO_PHASE": False for the cluster: then its servers commit one after '
            "the other, and a crash in between leaves a part.",
        )
