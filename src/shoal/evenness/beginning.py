"""
Takes what Django's `pre_migrate` says of a sharded alias or a shard, gets all ready.

Sent by Django's `migrate` and by `shoal migrate`, once the plan is made.
"""

import sys
from typing import Any

from django.core.management.base import OutputWrapper

from shoal.errors import MigrateError
from shoal.evenness.finishing import finish
from shoal.placement.buckets import get_ready
from shoal.topology import Cluster
from shoal.types import Alias


def before_migrating(
    cluster: Cluster,
    using: Alias,
    *,
    verbosity: int = 1,
    stdout: Any = None,
    **kwargs: Any,
) -> None:
    """Create what the control database lacks, and let lagging shards catch up."""
    if using != cluster.name:
        raise MigrateError(
            f"{using!r} is a shard of {cluster.name!r}: all of its shards are migrated "
            "together.",
            hint="Migrate the sharded alias: `manage.py migrate --database "
            f"{cluster.name}`. It also brings a shard up to the others that lacks what "
            "they have.",
        )
    get_ready(cluster)
    out = OutputWrapper(stdout or sys.stdout)

    def say(text: str) -> None:
        if verbosity:
            out.write(text)

    finish(cluster, say=say)
