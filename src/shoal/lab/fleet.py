"""
Takes planned clusters, gives their servers: made of programs, not started yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from shoal.lab.binaries import (
    MariaDBBinaries,
    PostgresBinaries,
    find_mariadb,
    find_postgres,
    reachable,
)
from shoal.lab.clients import MARIADB_DRIVER, POSTGRES_DRIVER, Driver, check_driver
from shoal.lab.mariadb import MariaDBServer
from shoal.lab.plan import Cluster, MariaDB, Postgres
from shoal.lab.postgres import PostgresServer
from shoal.lab.server import LabServer, Site

DRIVERS: dict[type[Cluster], Driver] = {
    Postgres: POSTGRES_DRIVER,
    MariaDB: MARIADB_DRIVER,
}


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The programs that the clusters of one lab need."""

    postgres: PostgresBinaries | None
    mariadb: MariaDBBinaries | None

    @classmethod
    def find(cls, clusters: Sequence[Cluster], pg_bin: str | Path | None) -> Self:
        """Return what is needed, or raise `LabError` where any of it is missing."""
        kinds = {type(cluster) for cluster in clusters}
        for kind in kinds:
            check_driver(DRIVERS[kind])
        return cls(
            postgres=find_postgres(pg_bin) if Postgres in kinds else None,
            mariadb=find_mariadb() if MariaDB in kinds else None,
        )

    def within_reach(self, site: Site) -> Self:
        """Return the programs, copied if the servers' user can't run them."""
        if self.postgres is None:
            return self
        return replace(
            self, postgres=reachable(self.postgres, site.user, site.directory)
        )


def fleet(
    clusters: Sequence[Cluster], programs: Programs, site: Site
) -> list[list[LabServer]]:
    """Return the servers of each cluster, its primary first."""
    return [_servers(cluster, programs, site) for cluster in clusters]


def _servers(cluster: Cluster, programs: Programs, site: Site) -> list[LabServer]:
    primary = _server(cluster.name, cluster, programs, site, None)
    return [
        primary,
        *(_server(n, cluster, programs, site, primary) for n in cluster.replicas),
    ]


def _server(
    name: str,
    cluster: Cluster,
    programs: Programs,
    site: Site,
    upstream: LabServer | None,
) -> LabServer:
    if isinstance(cluster, MariaDB):
        assert programs.mariadb
        return MariaDBServer(
            name,
            cluster=cluster,
            site=site,
            binaries=programs.mariadb,
            upstream=upstream,
        )
    assert programs.postgres
    return PostgresServer(
        name, cluster=cluster, site=site, binaries=programs.postgres, upstream=upstream
    )
