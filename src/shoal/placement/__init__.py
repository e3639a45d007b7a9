"""Takes a model, gives the cluster that it lives on. Knows nothing of servers."""

from shoal.placement.models import (
    Placement,
    get_placement,
    models_of_table,
    unconstrained,
)

__all__ = ["Placement", "get_placement", "models_of_table", "unconstrained"]
