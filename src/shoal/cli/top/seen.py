"""Takes what was seen of the servers at one moment, gives a table or JSON. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from shoal.cli import amounts
from shoal.cli.top.shares import share
from shoal.routing.health import Health, State
from shoal.topology import Cluster, Topology
from shoal.topology.positions.notation import Unit, unit_of, written
from shoal.types import Alias

_STYLES: Mapping[State, str] = {"up": "green", "unknown": "dim", "lagging": "yellow"}
_WRONG = "bold red"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Every server of every cluster at one moment."""

    topology: Topology
    health: Mapping[Alias, Health]
    names: Mapping[Alias, str]
    rates: Mapping[Alias, float]
    """Rows a second; without the servers that do not tell."""
    at: float
    """Seconds since the epoch."""


def as_json(seen: Seen) -> dict[str, Any]:
    return {
        "ok": True,
        "clusters": [
            {
                "name": cluster.name,
                "editions": [
                    {
                        "role": edition.role,
                        "servers": [
                            _server_as_json(alias, edition, seen)
                            for alias in edition.aliases
                        ],
                    }
                    for edition in cluster.all_editions
                ],
            }
            for cluster in seen.topology.clusters.values()
        ],
    }


def _server_as_json(alias: Alias, edition: Cluster, seen: Seen) -> dict[str, Any]:
    health = seen.health[alias]
    position, rate = health.position, seen.rates.get(alias)
    return {
        "alias": alias,
        "listed_as": _listed_as(alias, edition),
        "server": seen.names[alias],
        "state": health.state,
        "since": datetime.fromtimestamp(health.since, UTC).isoformat(
            timespec="seconds"
        ),
        "error": health.error or None,
        "position": None if position is None else written(position),
        "lag_seconds": _lag(health),
        **amounts.behind_as_json(_behind(health), _unit(health)),
        "latency_seconds": health.latency or None,
        "rows_per_second": rate,
        "share_of_reads": _share(alias, edition, seen),
    }


_COLUMNS = (
    "Cluster",
    "Alias",
    "Role",
    "Server",
    "State",
    "Since",
    "Position",
    "Lag",
    "Behind",
    "Reads",
)


def table(seen: Seen) -> Table:
    # Folded where a terminal is narrow: a name that is cut is of no use.
    columns = [Column(title, overflow="fold") for title in _COLUMNS]
    found = Table(*columns, box=None, caption=_caption(seen), caption_justify="left")
    for cluster, edition, alias in _members(seen.topology):
        first = alias == cluster.all_editions[0].primary
        found.add_row(cluster.name if first else "", *_row(alias, edition, seen))
    return found


def _caption(seen: Seen) -> str | None:
    if all(one.state in _STYLES for one in seen.health.values()):
        return None
    return "`manage.py shoal status` says what to do."


def _members(topology: Topology) -> Iterator[tuple[Cluster, Cluster, Alias]]:
    for cluster in topology.clusters.values():
        for edition in cluster.all_editions:
            for alias in edition.aliases:
                yield cluster, edition, alias


def _row(alias: Alias, edition: Cluster, seen: Seen) -> list[Text | str]:
    health = seen.health[alias]
    listed_as = _listed_as(alias, edition)
    is_replica = listed_as == "replica"
    role = f"{listed_as} ({edition.role})" if edition.role else listed_as
    return [
        alias,
        role,
        seen.names[alias],
        _state(health),
        amounts.duration(seen.at - health.since),
        written(health.position) if health.position else "-",
        amounts.lag(_lag(health)) if is_replica else "-",
        amounts.behind(_behind(health), _unit(health)) if is_replica else "-",
        amounts.share(_share(alias, edition, seen), seen.rates.get(alias)),
    ]


def _listed_as(alias: Alias, edition: Cluster) -> str:
    return "primary" if alias == edition.primary else "replica"


def _state(health: Health) -> Text:
    text = f"{health.state}: {health.error}" if health.error else health.state
    return Text(text, style=_STYLES.get(health.state, _WRONG))


def _lag(health: Health) -> float | None:
    return health.lag if health.is_following else None


def _behind(health: Health) -> int | None:
    return health.behind if health.is_following else None


def _unit(health: Health) -> Unit:
    return "bytes" if health.position is None else unit_of(health.position)


def _share(alias: Alias, edition: Cluster, seen: Seen) -> float | None:
    """Return the part of the edition's reads; `None` where the server did not tell."""
    if alias not in seen.rates:
        return None
    return share(alias, edition.aliases, seen.rates)
