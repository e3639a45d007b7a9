"""
Takes a sharded cluster, tells where its shards differ, makes the lagging ones even.

All shards are migrated at once by their sharded alias. One falls behind where it was
added empty, or where a run died after some shards had committed and before others.
"""

from shoal.evenness.beginning import before_migrating
from shoal.evenness.finishing import finish
from shoal.evenness.records import Key, applied, lacking, records
from shoal.evenness.tables import uneven_tables

__all__ = [
    "Key",
    "applied",
    "before_migrating",
    "finish",
    "lacking",
    "records",
    "uneven_tables",
]
