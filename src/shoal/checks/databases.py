"""Takes `DATABASES`, gives what does not fit its clusters. Asks no server."""

from django.conf import settings
from django.core.checks import Error, Warning

from shoal.checks.messages import Messages
from shoal.conf import get_conf
from shoal.topology import get_topology


def one_server_each() -> Messages:
    """W005: who is asked how far it has come has to be who is read."""
    for edition in get_topology().editions():
        for replica in edition.replicas:
            host = str(settings.DATABASES[replica.alias].get("HOST") or "")
            if "," in host:
                yield Warning(
                    f"The replica {replica.alias!r} of {edition.name!r} has the HOST "
                    f"{host!r}, which is several servers: one may be asked how far it "
                    "is, and another be read.",
                    hint="Give each server an alias of its own, and list all of them "
                    "in REPLICAS.",
                    id="shoal.W005",
                )


def atomic_requests() -> Messages:
    """E012, W002, W003, W004: what a transaction around each request does."""
    topology = get_topology()
    for alias, database in settings.DATABASES.items():
        if not database.get("ATOMIC_REQUESTS"):
            continue
        primary = topology.primary_of_replica(alias)
        cluster = topology.by_alias.get(alias)
        if primary is not None:
            yield Error(
                f"ATOMIC_REQUESTS is on for {alias!r}, which is a replica of "
                f"{primary!r}.",
                hint="Each request would open a transaction there that can write "
                "nothing. Set it on the primary, if at all.",
                id="shoal.E012",
            )
        elif cluster is not None and cluster[1].replicas:
            yield Warning(
                f"ATOMIC_REQUESTS is on for {alias!r}, so its replicas never serve a "
                "request: reads inside a transaction go to the primary.",
                hint="Turn it off and use atomic() where it matters.",
                id="shoal.W002",
            )
        elif alias != "default" and cluster is not None:
            yield Warning(
                f"ATOMIC_REQUESTS is on for {alias!r}: every request opens a "
                "transaction there, needed or not, and commits it apart from those "
                "on other clusters.",
                hint=f"Turn it off and use atomic(using={alias!r}) where it matters.",
                id="shoal.W003",
            )
    yield from _atomic_elsewhere()


def _atomic_elsewhere() -> Messages:
    """W004: `ATOMIC_REQUESTS` on `default` alone covers no other cluster."""
    default = settings.DATABASES.get("default", {})
    if not default.get("ATOMIC_REQUESTS"):
        return
    uncovered = [
        name
        for name, cluster in get_conf().clusters.items()
        if name != "default"
        and (cluster.apps or cluster.models)
        and not settings.DATABASES[name].get("ATOMIC_REQUESTS")
    ]
    if uncovered:
        yield Warning(
            "ATOMIC_REQUESTS is on for 'default' only; a failing request does not "
            f"roll back what it wrote on {', '.join(map(repr, uncovered))}.",
            hint="Use atomic(using=...) in the views that write there.",
            id="shoal.W004",
        )
