"""Takes compiled queries, gives rows: from one shard, or from several."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.sharding.writing.by_hand import new_ids

__all__ = ["new_ids"]


def __getattr__(name: str) -> Any:
    """Import when asked: models may be defined before what this needs is there."""
    if name != "new_ids":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shoal.sharding.writing import by_hand

    return by_hand.new_ids
