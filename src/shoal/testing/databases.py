"""Takes the settings, gives the aliases that a test may use: all that are real."""

from django.db import connections

from shoal.conf import is_configured
from shoal.types import Alias


def every_database() -> frozenset[Alias]:
    """Return every alias but an empty `default`, replicas included."""
    return frozenset(
        alias
        for alias, database in connections.settings.items()
        if is_configured(database)
    )
