"""
Takes a model, gives the cluster that it lives on, and the bucket that a row lies in.

Knows nothing of servers. Used in `models.py`, before the apps are ready.
"""

from shoal.placement.declaring import reference, sharded
from shoal.placement.models import (
    Placement,
    get_placement,
    models_of_table,
    unconstrained,
)
from shoal.placement.strategies import directory, modulo, ranges

__all__ = [
    "Placement",
    "directory",
    "get_placement",
    "models_of_table",
    "modulo",
    "ranges",
    "reference",
    "sharded",
    "unconstrained",
]
