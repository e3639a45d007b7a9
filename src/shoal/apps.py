"""The Django app: connects guard and checks, lets replicas mirror in tests."""

from django.apps import AppConfig
from django.db import connections
from django.db.backends.signals import connection_created

from shoal.conf import read_settings


class ShoalConfig(AppConfig):
    name = "shoal"
    label = "shoal"
    verbose_name = "Shoal"

    def ready(self) -> None:
        from shoal import checks  # noqa: F401  Registers; needs the apps loaded.
        from shoal.routing.guard import watch

        connection_created.connect(watch, dispatch_uid="shoal.guard")
        mirror_replicas()


def mirror_replicas() -> None:
    """
    Tell Django's test runner that a replica has no test database of its own.

    As if each had `"TEST": {"MIRROR": primary}`; one that says otherwise is left so.
    """
    conf, _ = read_settings()
    for cluster in conf.clusters.values():
        for replica in cluster.replicas:
            test = connections.settings[replica.alias].setdefault("TEST", {})
            if test.get("MIRROR") is None:
                test["MIRROR"] = cluster.name
