"""
Takes an entry of DATABASES, gives the connection object of a sharded alias.

Its class is made over the one of the shards' engine, so that SQL is compiled, values
are converted and features are known as on any of the shards.
"""

import functools
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import load_backend

from shoal.backends.sharded.client import ShardedClient
from shoal.backends.sharded.connection import ShardedConnection
from shoal.backends.sharded.creation import ShardedCreation
from shoal.backends.sharded.features import ShardedFeatures
from shoal.backends.sharded.introspection import ShardedIntrospection
from shoal.backends.sharded.operations import ShardedOperations
from shoal.backends.sharded.schema import ShardedSchemaEditor
from shoal.topology import Cluster, get_topology
from shoal.types import Alias


class DatabaseWrapper:
    """What Django calls for an alias with this ENGINE."""

    def __new__(cls, settings_dict: dict[str, Any], alias: Alias) -> Any:
        cluster = get_topology().clusters.get(alias)
        if cluster is None or not cluster.is_sharded:
            raise ImproperlyConfigured(
                f"The alias {alias!r} has the ENGINE of a sharded alias, but SHOAL "
                'does not say what its shards are: add "SHARDS" to '
                f'SHOAL["CLUSTERS"][{alias!r}].'
            )
        return connection_to(cluster, settings_dict)


def connection_to(cluster: Cluster, settings_dict: dict[str, Any]) -> Any:
    """Return a new connection object for this thread, not connected yet."""
    home = connections.settings[cluster.home.name]
    # Values are converted as the shards do it.
    settings_dict["TIME_ZONE"] = home["TIME_ZONE"]
    made = class_over(home["ENGINE"])
    return made(settings_dict, cluster.name)


@functools.cache
def class_over(engine: str) -> Any:
    """Return the class of sharded connections over shards of this engine."""
    vendor: Any = load_backend(engine).DatabaseWrapper
    parts = {
        "client_class": (ShardedClient, vendor.client_class),
        "creation_class": (ShardedCreation, vendor.creation_class),
        "features_class": (ShardedFeatures, vendor.features_class),
        "introspection_class": (ShardedIntrospection, vendor.introspection_class),
        "ops_class": (ShardedOperations, vendor.ops_class),
        "SchemaEditorClass": (ShardedSchemaEditor, vendor.SchemaEditorClass),
    }
    made = {name: _named(engine, bases) for name, bases in parts.items()}
    return type(
        vendor.__name__,
        (ShardedConnection, vendor),
        {"__module__": __name__, "over": vendor, **made},
    )


def _named(engine: str, bases: tuple[Any, ...]) -> Any:
    """Return a class that is found in this module by its name, as others are."""
    name = f"{bases[0].__name__}_{engine.replace('.', '_')}"
    made = type(name, bases, {"__module__": __name__})
    globals()[name] = made
    return made
