"""
Takes a model, gives the cluster that it lives on, and the bucket that a row lies in.

Used in `models.py`, before the apps are ready; so what needs the control database is
imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from shoal.placement.declaring import reference, sharded
from shoal.placement.models import (
    Placement,
    get_placement,
    models_of_table,
    unconstrained,
)
from shoal.placement.strategies import directory, modulo, ranges

if TYPE_CHECKING:
    from shoal.placement.scopes import on_every_shard, on_shard, shard_of

__all__ = [
    "Placement",
    "directory",
    "get_placement",
    "models_of_table",
    "modulo",
    "on_every_shard",
    "on_shard",
    "ranges",
    "reference",
    "shard_of",
    "sharded",
    "unconstrained",
]


def __getattr__(name: str) -> Any:
    if name not in ("on_every_shard", "on_shard", "shard_of"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shoal.placement import scopes

    return getattr(scopes, name)
