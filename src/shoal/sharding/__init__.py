"""Takes compiled queries, gives rows: from one shard, or from several."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.sharding.deadlines import deadline
    from shoal.sharding.permitting import allow, forbid
    from shoal.sharding.writing.by_hand import new_ids

__all__ = ["allow", "deadline", "forbid", "new_ids"]

_FOUND_IN = {
    "allow": "shoal.sharding.permitting",
    "deadline": "shoal.sharding.deadlines",
    "forbid": "shoal.sharding.permitting",
    "new_ids": "shoal.sharding.writing.by_hand",
}


def __getattr__(name: str) -> Any:
    """Import when asked: models may be defined before what this needs is there."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FOUND_IN[name]), name)
