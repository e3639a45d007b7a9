"""
Takes a sharded cluster, gives its bucket map and where its shards differ.

Looks only at shards whose servers answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError

from shoal.cli.findings import counted
from shoal.errors import ShoalError, UnknownShard
from shoal.evenness import applied, lacking, records, uneven_tables
from shoal.placement.buckets import BucketMap, refresh
from shoal.placement.control import control_alias
from shoal.topology import Cluster
from shoal.topology.probe import ServerFacts, ServerProblem
from shoal.types import Alias

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Shards:
    """What was found out about the shards of one cluster."""

    cluster: Cluster
    control: Alias
    map: BucketMap | None = None
    problems: tuple[ServerProblem, ...] = field(default=())

    @property
    def buckets(self) -> dict[Alias, int | None]:
        """How many buckets each shard has; `None` where there is no map."""
        names = [shard.name for shard in self.cluster.shards]
        if self.map is None:
            return dict.fromkeys(names)
        return {name: len(self.map.buckets_of(name)) for name in names}

    def as_json(self) -> dict[str, Any]:
        return {
            "control": self.control,
            "ids": self.cluster.ids,
            "home": self.cluster.home.name,
            "map_version": None if self.map is None else self.map.version,
            "buckets": self.buckets,
        }


def look_at_shards(cluster: Cluster, facts: Mapping[Alias, ServerFacts]) -> Shards:
    """Ask the control database and the shards; never raises for one of them."""
    control = control_alias()
    reachable = all(facts[shard.primary].reachable for shard in cluster.shards)
    has_begun = reachable and bool(applied(records(cluster)))
    found, wrong = None, []
    if control in facts and facts[control].reachable:
        try:
            found = refresh(cluster)
        except (ShoalError, DatabaseError) as error:
            if has_begun or isinstance(error, UnknownShard):
                wrong.append(_no_map(cluster, error))
    wrong += _of_several_kinds(cluster, facts)
    if reachable:
        wrong += _uneven(cluster)
    return Shards(cluster=cluster, control=control, map=found, problems=tuple(wrong))


def _error(alias: Alias, id: str, message: str, hint: str) -> ServerProblem:
    return ServerProblem(alias=alias, id=id, level="error", message=message, hint=hint)


def _no_map(cluster: Cluster, error: Exception) -> ServerProblem:
    said = error if isinstance(error, ShoalError) else ShoalError(str(error).strip())
    hint = said.hint or "Look at the control database."
    return _error(cluster.name, "shoal.E032", said.message, hint)


def _of_several_kinds(
    cluster: Cluster, facts: Mapping[Alias, ServerFacts]
) -> Iterator[ServerProblem]:
    kinds = {s.name: _kind(facts[s.primary]) for s in cluster.shards}
    known = {alias: kind for alias, kind in kinds.items() if kind}
    for alias, kind in known.items():
        first, of_first = next(iter(known.items()))
        if kind != of_first:
            yield _error(
                alias,
                "shoal.E033",
                f"{alias!r}, a shard of {cluster.name!r}, is a {kind}, but {first!r} "
                f"is a {of_first}.",
                "All shards run the same statements: give them servers of one kind.",
            )


def _kind(facts: ServerFacts) -> str:
    """Return MariaDB or MySQL, which are one vendor to Django; `""` for the others."""
    if facts.vendor != "mysql" or not facts.version:
        return ""
    # MySQL has not come to 10, and MariaDB began there.
    is_mariadb = int(facts.version.partition(".")[0]) >= 10
    return "MariaDB server" if is_mariadb else "MySQL server"


def _uneven(cluster: Cluster) -> Iterator[ServerProblem]:
    behind = lacking(records(cluster))
    for alias, keys in behind.items():
        names = [f"{app}.{name}" for app, name in sorted(keys)]
        what = (
            f"{counted(len(keys), 'migration')}" if keys else "the table of migrations"
        )
        listed = f": {_shortened(names)}" if keys else ""
        yield _error(
            alias,
            "shoal.E034",
            f"{alias!r} lacks {what} that other shards of {cluster.name!r} "
            f"have{listed}.",
            "Run `manage.py shoal migrate`, which brings it up to the others.",
        )
    if not behind:
        yield from _uneven_tables(cluster)


def _uneven_tables(cluster: Cluster) -> Iterator[ServerProblem]:
    for alias, names in uneven_tables(cluster).items():
        yield _error(
            alias,
            "shoal.E035",
            f"{alias!r} lacks what other shards of {cluster.name!r} have: "
            f"{_shortened(names)}.",
            "A migration died half way, on a server that cannot roll back changes of "
            "tables, or somebody changed a shard by hand: make the tables of all "
            "shards alike. If it was migrated before it was a shard, and is empty, "
            "drop its table 'django_migrations'. Then run `manage.py shoal migrate`.",
        )


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    left = len(names) - _SHOWN
    return shown if left <= 0 else f"{shown} and {left} more"
