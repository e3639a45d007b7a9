"""`manage.py shoal status`: clusters, their servers, and how these are."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from shoal.cli import amounts, findings, in_doubt, messages, sagas
from shoal.cli.arguments import configured
from shoal.cli.history import label, read_disk, unapplied
from shoal.cli.migrate.choice import candidates
from shoal.cli.placing import Residents, residents
from shoal.cli.screen import Screen
from shoal.cli.shards import Shards, look_at_shards
from shoal.errors import ShoalError
from shoal.evenness import Key
from shoal.topology import Cluster, Topology, get_topology
from shoal.topology.positions.notation import Unit, read
from shoal.topology.probe import ServerFacts, ServerProblem, probe, problems
from shoal.transactions.in_doubt import Branch
from shoal.transactions.outbox.values import Waiting
from shoal.transactions.saga import Overview
from shoal.types import Alias, ClusterName


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """All that was found out."""

    topology: Topology
    facts: Mapping[Alias, ServerFacts]
    problems: Sequence[ServerProblem]
    unapplied: Mapping[Alias, list[Key] | None]
    residents: Mapping[ClusterName | None, Residents]
    shards: Mapping[ClusterName, Shards]
    in_doubt: Sequence[Branch]
    messages: Mapping[Alias, Waiting]
    sagas: Sequence[Overview] = ()

    @property
    def errors(self) -> list[ServerProblem]:
        return [problem for problem in self.problems if problem.level == "error"]

    @property
    def others(self) -> list[Alias]:
        """Aliases that belong to no cluster."""
        return [alias for alias in self.facts if alias not in self.topology.by_alias]


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Show everything; raise `ShoalError` if a server is not what it should be."""
    status = look()
    if screen.is_json:
        screen.data(as_json(status))
    else:
        show(status, screen.out)
    if status.errors:
        found = findings.counted(len(status.errors), "problem")
        raise ShoalError(
            f"{found} with the servers: "
            + ", ".join(dict.fromkeys(repr(p.alias) for p in status.errors))
            + ".",
            hint="`manage.py shoal check` looks closer.",
        )


def look() -> Status:
    topology = get_topology()
    facts = probe(configured())
    shards = {
        cluster.name: look_at_shards(cluster, facts)
        for cluster in topology.clusters.values()
        if cluster.is_sharded
    }
    found = problems(facts, topology)
    found += [problem for one in shards.values() for problem in one.problems]
    primaries = [
        server
        for alias in candidates(configured(), topology)
        for server in topology.servers_behind(alias)
        if facts[server].reachable
    ]
    return Status(
        topology=topology,
        facts=facts,
        problems=[problem for problem in found if problem.level != "info"],
        unapplied=unapplied(primaries, read_disk()),
        residents=residents(),
        shards=shards,
        in_doubt=in_doubt.find(facts),
        messages=messages.look(primaries),
        sagas=sagas.look_at_sagas(facts),
    )


def as_json(status: Status) -> dict[str, Any]:
    return {
        "ok": not status.errors,
        "clusters": [
            _cluster_as_json(cluster, status)
            for cluster in status.topology.clusters.values()
        ],
        "in_doubt": [in_doubt.as_json(one) for one in status.in_doubt],
        "others": [_server_as_json(alias, None, status) for alias in status.others],
        "messages": messages.as_json(status.messages),
        "problems": [
            {
                "alias": problem.alias,
                "level": problem.level,
                "id": problem.id,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in status.problems
        ],
        "sagas": sagas.as_json(status.sagas),
    }


def _cluster_as_json(cluster: Cluster, status: Status) -> dict[str, Any]:
    living = status.residents.get(cluster.name, Residents())
    shards = status.shards.get(cluster.name)
    return {
        "name": cluster.name,
        "apps": list(living.apps),
        "models": list(living.models),
        "shards": None if shards is None else shards.as_json(),
        "editions": [
            {
                "role": edition.role,
                "servers": [
                    _server_as_json(alias, edition, status) for alias in edition.aliases
                ],
            }
            for edition in cluster.all_editions
        ],
    }


def _server_as_json(
    alias: Alias, edition: Cluster | None, status: Status
) -> dict[str, Any]:
    facts = status.facts[alias]
    lacks = status.unapplied.get(alias)
    return {
        "alias": alias,
        "listed_as": _listed_as(alias, edition),
        "is_replica": facts.is_replica,
        "reachable": facts.reachable,
        "error": facts.error or None,
        "vendor": facts.vendor or None,
        "version": facts.version,
        "server": facts.server_name,
        "address": facts.address,
        "database": facts.database,
        "follows": facts.follows,
        "connected": facts.connected,
        "position": facts.position,
        "lag_seconds": facts.lag_seconds,
        **amounts.behind_as_json(_behind(alias, edition, status), _unit(facts)),
        "unapplied": None if lacks is None else [label(key) for key in lacks],
    }


def _listed_as(alias: Alias, edition: Cluster | None) -> str | None:
    if edition is None:
        return None
    return "primary" if alias == edition.primary else "replica"


def show(status: Status, console: Console) -> None:
    if not status.topology.clusters:
        console.print(
            'SHOAL["CLUSTERS"] lists no clusters; these are the databases of the '
            "project."
        )
    console.print(_servers(status))
    console.print()
    if status.topology.clusters:
        console.print(_residents(status))
        console.print()
    if status.shards:
        console.print(_buckets(status))
        console.print()
    if status.in_doubt:
        console.print(in_doubt.table(status.in_doubt))
        console.print("Finish it with `manage.py shoal recover`.")
        console.print()
    messages.show(status.messages, console)
    sagas.show(status.sagas, console)
    findings.show([findings.as_message(p) for p in status.problems], console)


_COLUMNS = (
    "Cluster",
    "Alias",
    "Role",
    "Server",
    "Version",
    "State",
    "Position",
    "Lag",
    "Behind",
    "Unapplied",
)


def _servers(status: Status) -> Table:
    # Folded where a terminal is narrow: a name that is cut is of no use.
    columns = [Column(title, overflow="fold") for title in _COLUMNS]
    table = Table(*columns, box=None)
    seen = set()
    for cluster, edition, alias in _rows(status.topology):
        row = _row(alias, edition, status)
        table.add_row("" if cluster in seen else cluster, *row)
        seen.add(cluster)
    for alias in status.others:
        table.add_row("-", *_row(alias, None, status))
    return table


def _rows(topology: Topology) -> Iterator[tuple[ClusterName, Cluster, Alias]]:
    for cluster in topology.clusters.values():
        for edition in cluster.all_editions:
            for alias in edition.aliases:
                yield cluster.name, edition, alias


def _row(alias: Alias, edition: Cluster | None, status: Status) -> list[Text | str]:
    facts = status.facts[alias]
    kind = _listed_as(alias, edition) or "-"
    if edition is not None and edition.role is not None:
        kind = f"{kind} ({edition.role})"
    lacks = status.unapplied.get(alias)
    return [
        alias,
        kind,
        facts.server,
        f"{facts.vendor} {facts.version}" if facts.version else "-",
        _state(alias, status),
        facts.position or "-",
        *_lag(alias, edition, status),
        "-" if lacks is None else str(len(lacks)),
    ]


_STATES = {
    "shoal.E007": "not what is listed",
    "shoal.E013": "unreachable",
    "shoal.E014": "refuses us",
    "shoal.E015": "no such database",
    "shoal.E016": "too old",
    "shoal.E017": "not of its own",
    "shoal.E019": "not usable",
    "shoal.E033": "another kind",
    "shoal.E034": "lags behind",
    "shoal.E035": "not as the others",
}


def _state(alias: Alias, status: Status) -> Text:
    if status.facts[alias].trouble == "silent":
        return Text("silent", style="bold red")
    for problem in status.errors:
        if problem.alias == alias:
            return Text(_STATES.get(problem.id, problem.id), style="bold red")
    if any(problem.alias == alias for problem in status.problems):
        return Text("up, see below", style="yellow")
    return Text("up", style="green")


def _lag(alias: Alias, edition: Cluster | None, status: Status) -> tuple[str, str]:
    if _listed_as(alias, edition) != "replica":
        return "-", "-"
    facts = status.facts[alias]
    behind = _behind(alias, edition, status)
    return amounts.lag(facts.lag_seconds), amounts.behind(behind, _unit(facts))


def _behind(alias: Alias, edition: Cluster | None, status: Status) -> int | None:
    """Return what a replica has yet to replay, if both servers say where they are."""
    if edition is None or alias == edition.primary:
        return None
    primary, mine = status.facts[edition.primary], status.facts[alias]
    if not (mine.is_replica and primary.position and mine.position):
        return None
    if mine.vendor == "postgresql" and mine.follows_system != primary.system:
        return None
    latest, shown = read(primary.position), read(mine.position)
    return latest.beyond(shown) if latest and shown else None


def _unit(facts: ServerFacts) -> Unit:
    return "bytes" if facts.vendor == "postgresql" else "transactions"


def _residents(status: Status) -> Table:
    table = Table("Cluster", "Lives there", box=None)
    for name in status.topology.clusters:
        table.add_row(name, str(status.residents.get(name, "nothing")))
    if None in status.residents:
        table.add_row("no cluster", str(status.residents[None]))
    return table


def _buckets(status: Status) -> Table:
    table = Table("Cluster", "Ids", "Map", "In", "Shard", "Buckets", box=None)
    for name, shards in status.shards.items():
        version = "none yet" if shards.map is None else f"version {shards.map.version}"
        about: tuple[str, ...] = (name, shards.cluster.ids, version, shards.control)
        for shard, count in shards.buckets.items():
            home = " (home)" if shard == shards.cluster.home.name else ""
            number = "-" if count is None else str(count)
            table.add_row(*about, f"{shard}{home}", number)
            about = ("",) * len(about)
    return table
