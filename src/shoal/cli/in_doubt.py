"""What is prepared and not finished, for people and as JSON. Takes branches."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Column, Table

from shoal.topology.probe import ServerFacts
from shoal.transactions.in_doubt import Branch
from shoal.transactions.reaching import Reach, primaries
from shoal.transactions.recovering import look
from shoal.types import Alias


def find(facts: Mapping[Alias, ServerFacts]) -> list[Branch]:
    """Return what is in doubt at this moment, commits in flight among them."""
    with Reach() as reach:
        return look(reach, (a for a in primaries() if facts[a].reachable))


def as_json(branch: Branch) -> dict[str, Any]:
    return {
        "alias": branch.alias,
        "gid": branch.name.gid,
        "unit": branch.name.unit,
        "home": branch.name.home,
        "since": branch.since.isoformat() if branch.since else None,
        "tables": list(branch.tables),
        "waiting": branch.waiting,
    }


def as_line(branch: Branch) -> str:
    since = f" since {_moment(branch.since)}" if branch.since else ""
    return f"{branch.name.gid} on {branch.alias!r}{since}"


def table(found: Sequence[Branch]) -> Table:
    titles = ("In doubt", "On", "Since", "Decided by", "Locks", "Waiting")
    columns = (
        Column(title, overflow="fold", no_wrap=title == "Since") for title in titles
    )
    shown = Table(*columns, box=None)
    for one in found:
        shown.add_row(
            one.name.unit,
            one.alias,
            _moment(one.since) if one.since else "-",
            one.name.home,
            ", ".join(one.tables) or "-",
            str(one.waiting) if one.since else "-",
        )
    return shown


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
