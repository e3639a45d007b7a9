"""Takes a lab's server, gives Django set up on its databases, with all tables made."""

from typing import Any

import django
from django.conf import settings

from shoal.lab import LabServer

ONE, REVIEWS, WIDE = "one", "reviews", "wide"
SHARDS = tuple(f"reviews_{n}" for n in range(4))
SERVER = {
    "autovacuum": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "shared_buffers": "512MB",
}
"""Room for all rows in memory, and nothing that begins to clean up amid a run."""
SHARDED = {"ENGINE": "shoal.backends.sharded"}


def databases(server: LabServer, wide: int) -> dict[str, dict[str, Any]]:
    """Make the databases, and return what `settings.DATABASES` needs."""
    single = (ONE, *SHARDS, *wide_shards(wide))
    for name in single:
        server.sql(f"CREATE DATABASE {name}")
    return {
        "default": server.alias,
        REVIEWS: SHARDED,
        WIDE: SHARDED,
        **{name: {**server.alias, "NAME": name} for name in single},
    }


def wide_shards(wide: int) -> list[str]:
    return [f"wide_{n}" for n in range(wide)]


def configure(entries: dict[str, dict[str, Any]]) -> None:
    wide = len([name for name in entries if name.startswith("wide_")])
    settings.configure(
        SECRET_KEY="for benchmarks only",
        DATABASES=entries,
        DATABASE_ROUTERS=["shoal.routing.Router"],
        INSTALLED_APPS=["benchmarks.sharding", "shoal"],
        USE_TZ=True,
        SHOAL={
            "CLUSTERS": {
                "default": {},
                ONE: {"MODELS": ["sharding.OneReview"]},
                REVIEWS: {"MODELS": ["sharding.Review"], "SHARDS": SHARDS},
                WIDE: {"MODELS": ["sharding.WideReview"], "SHARDS": wide_shards(wide)},
            }
        },
    )
    django.setup()


def make_tables() -> None:
    from django.db import connections

    from benchmarks.sharding.models import OneReview, Review, WideReview
    from shoal.placement.buckets import get_ready
    from shoal.topology import get_topology

    for name in (REVIEWS, WIDE):
        get_ready(get_topology().clusters[name])
    for alias, model in ((ONE, OneReview), (REVIEWS, Review), (WIDE, WideReview)):
        with connections[alias].schema_editor() as editor:
            editor.create_model(model)
