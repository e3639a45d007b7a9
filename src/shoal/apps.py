"""The Django app: connects guard and checks, lets replicas mirror in tests."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_migrate

from shoal.conf import is_configured, read_settings
from shoal.placement.schemes import register
from shoal.topology import get_topology
from shoal.topology.probe.asking import is_apart
from shoal.types import Alias


class ShoalConfig(AppConfig):
    name = "shoal"
    label = "shoal"
    verbose_name = "Shoal"

    def ready(self) -> None:
        from shoal import checks, server_checks  # noqa: F401  They need the apps.
        from shoal.routing.content_types import place_renames
        from shoal.routing.guard import watch

        connection_created.connect(watch, dispatch_uid="shoal.guard")
        connection_created.connect(add_functions, dispatch_uid="shoal.functions")
        connection_created.connect(introduce, dispatch_uid="shoal.introduce")
        pre_migrate.connect(place_renames, dispatch_uid="shoal.content_types")
        pre_migrate.connect(get_clusters_ready, dispatch_uid="shoal.get_ready")
        introduce_from_the_first(connections)
        prepare_test_databases()


def add_functions(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Let SQLite compute buckets."""
    register(connection)


def introduce(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Let a shard know its sharded alias, also one that SHOAL did not name before."""
    name = None if is_apart(connection) else sharded_alias_of(connection.alias)
    if name is not None:
        # Its connection object adopts those of the shards.
        connections[name]


def introduce_from_the_first(handler: Any) -> None:
    """
    Let a shard know its sharded alias before it connects.

    The first statement may be an insert, whose compiler is chosen by then.
    """
    if "create_connection" in vars(handler):
        return
    create = handler.create_connection

    def create_connection(alias: Alias) -> Any:
        made = create(alias)
        name = sharded_alias_of(alias)
        if name is not None and name != alias:
            from shoal.backends.sharded.shard import adopt

            adopt(made, lambda: handler[name])
        return made

    handler.create_connection = create_connection


def sharded_alias_of(shard: Alias) -> Alias | None:
    """Return the sharded alias that an alias is a shard of, or is itself."""
    if read_settings()[1]:
        return None
    member = get_topology().by_alias.get(shard)
    return member[0].name if member is not None and member[0].is_sharded else None


def get_clusters_ready(using: str, **kwargs: Any) -> None:
    """
    Before a cluster is migrated, finish what a killed migration has left in doubt.

    Of a sharded one the bucket map is created, and its shards are made even: of a shard
    alone nothing may be done that no other shard has.
    """
    topology = get_topology()
    is_ours = using in topology.by_alias and not topology.primary_of_replica(using)
    if not (topology.has_several_databases and is_ours):
        return
    from shoal.evenness import before_migrating  # They need the apps.
    from shoal.evenness.killed import refuse_stale_plan

    refuse_stale_plan(topology.servers_behind(using))
    cluster = topology.by_alias[using][0]
    if cluster.is_sharded:
        before_migrating(cluster, using, **kwargs)


def prepare_test_databases() -> None:
    """
    Tell Django's test runner what it cannot know; what the project says stays.

    A shard's test database is made with those of the other shards. A replica
    has no test database of its own, as if it had `"TEST": {"MIRROR":
    primary}`. Without a `default`, no test database depends on that one.
    """
    conf, _ = read_settings()
    for cluster in conf.clusters.values():
        for replica in cluster.replicas:
            test = connections.settings[replica.alias]["TEST"]
            if test["MIRROR"] is None:
                test["MIRROR"] = cluster.name
        for shard in cluster.shards:
            connections.settings[shard]["TEST"]["MIRROR"] = cluster.name
    if conf.clusters and not is_configured(connections.settings["default"]):
        for database in connections.settings.values():
            database["TEST"].setdefault("DEPENDENCIES", [])
