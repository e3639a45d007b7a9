"""
`forbid`, `allow`: say how far a query on a sharded alias may go to be answered.

Ways of answering are rungs of a ladder: one shard, scatter, gather. Who forbids one
forbids those above it; who allows one allows those below it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from shoal.errors import GatherForbidden, ScatterForbidden, did_you_mean
from shoal.sharding.blocks import Block, said
from shoal.sharding.telling import SAID, Why
from shoal.topology import Cluster
from shoal.types import Alias

Rung: TypeAlias = Literal["scatter", "gather"]
LADDER = ("one shard", "scatter", "gather")
SCATTER, GATHER = 1, 2


class _Limit(Block):
    def __init__(self, *ways: Rung) -> None:
        name = type(self).__name__
        if not ways:
            raise TypeError(f'{name}() takes "scatter", "gather" or both.')
        for way in ways:
            if way not in LADDER[1:]:
                hint = did_you_mean(str(way), LADDER[1:])
                raise ValueError(f"{name}({way!r}): there is no such way. {hint}")
        super().__init__({"steps": tuple((name, LADDER.index(way)) for way in ways)})

    def _made(self) -> Mapping[str, Any]:
        return {"steps": (*said("steps", ()), *self._changes["steps"])}


class forbid(_Limit):
    """
    Raise `GatherForbidden` or `ScatterForbidden` in place of such a query.

    Who forbids "scatter" forbids "gather" as well, which asks several shards, too.
    Before any shard is asked; on every sharded alias.
    """


class allow(_Limit):
    """
    Let queries be answered so, whatever the setting or an outer block forbids.

    Who allows "gather" allows "scatter" as well. `MAX_GATHER_ROWS` still counts.
    """


def permit_scatter(cluster: Cluster, shards: Sequence[Alias], why: Any) -> None:
    """Raise `ScatterForbidden` if several shards may not be asked."""
    by = _forbidden_by(cluster, SCATTER) if len(shards) > 1 else ""
    if by:
        found: Why = why()
        listed = ", ".join(map(repr, shards))
        raise ScatterForbidden(
            f"A query on {cluster.name!r} would ask {len(shards)} shards ({listed}), "
            f"which {by}: {SAID[found.because]}.",
            hint="Filter by the key. `manage.py shoal explain` shows the plan. Where "
            'it has to be, say so: `with allow("scatter")`.',
        )


def permit_gather(cluster: Cluster, where: Any) -> None:
    """Raise an error if rows may not be brought together, but those of each shard."""
    by = _forbidden_by(cluster, GATHER)
    if not by:
        return
    reasons = {one.name: where.reason(one.occurrences[0]) for one in where.tables()}
    if set(reasons.values()) == {"every shard"}:
        # Django's list of migrations is so, and `migrate` cannot ask otherwise.
        return
    kind = ScatterForbidden if _forbidden_by(cluster, SCATTER) else GatherForbidden
    listed = ", ".join(f"{name!r} ({SAID[why]})" for name, why in reasons.items())
    raise kind(
        f"A query on {cluster.name!r} would be gathered, which {by}: it needs rows of "
        f"{listed}.",
        hint="Filter or join by the key. `manage.py shoal explain` shows the plan. "
        'Where it has to be, say so: `with allow("gather")`.',
    )


def _forbidden_by(cluster: Cluster, rung: int) -> str:
    """Return who forbids a rung of the ladder; empty if nobody does."""
    found = ""
    if cluster.scatter == "error":
        found = '"SCATTER": "error" forbids'
    elif cluster.gather == "error" and rung == GATHER:
        found = '"GATHER": "error" forbids'
    for name, step in said("steps", ()):
        if name == "forbid" and step <= rung:
            found = f'forbid("{LADDER[step]}") forbids'
        elif name == "allow" and step >= rung:
            found = ""
    return found
