"""
Takes clusters, gives their servers running: all of them, or a `LabError` and none.
"""

import atexit
import functools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal.errors import LabError, did_you_mean
from shoal.lab.fleet import Programs, fleet
from shoal.lab.plan import Cluster, check
from shoal.lab.server import LabServer, Site
from shoal.lab.tether import Tether

FOLLOWING_WITHIN = 60.0


class Lab:
    """
    Real servers for a demo, a test or a benchmark.

    They live as long as the `with` block, or from `start` to `stop`, and never
    longer than this process, whatever ends it. Nothing of them stays on disk.
    """

    def __init__(self, *clusters: Cluster, pg_bin: str | Path | None = None) -> None:
        self.clusters = check(clusters)
        self._pg_bin = pg_bin
        self._servers: dict[str, LabServer] = {}
        self._tether: Tether | None = None

    def __repr__(self) -> str:
        names = ", ".join(repr(name) for c in self.clusters for name in c.servers)
        return f"<Lab {names}: {'up' if self._servers else 'down'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __iter__(self) -> Iterator[LabServer]:
        return iter(self._up().values())

    def __getitem__(self, name: str) -> LabServer:
        servers = self._up()
        if name not in servers:
            raise LabError(
                f"No server of the lab is named {name!r}.",
                hint=did_you_mean(name, servers),
            )
        return servers[name]

    @property
    def databases(self) -> dict[str, dict[str, str]]:
        """What `settings.DATABASES` needs; an alias is the name of a server."""
        return {server.name: server.alias for server in self}

    def start(self, tether: Tether | None = None) -> None:
        """
        Start all servers side by side; return when replicas have caught up.

        The servers live as long as the `tether` to their keeper, or one of their own.
        """
        if self._tether and self._tether.mine:
            raise LabError("The lab is up already.", hint="Call stop() before start().")
        try:
            programs = Programs.find(self.clusters, self._pg_bin)
            self._tether = tether = tether or Tether()
            atexit.register(self.stop)
            site = Site(tether=tether, password=secrets.token_urlsafe(18))
            groups = fleet(self.clusters, programs.within_reach(site), site)
            _side_by_side([functools.partial(_raise, *group) for group in groups])
            servers = {server.name: server for group in groups for server in group}
        except BaseException:
            self.stop()
            raise
        self._servers = servers

    def stop(self) -> None:
        """Stop all servers and remove their files; do nothing if none is up."""
        tether, self._tether, self._servers = self._tether, None, {}
        atexit.unregister(self.stop)
        if tether:
            tether.close()

    def _up(self) -> dict[str, LabServer]:
        if not self._tether:
            raise LabError(
                "The lab is not up.", hint="Use it in a `with` block, or call start()."
            )
        return self._servers


def _raise(primary: LabServer, *replicas: LabServer) -> None:
    """Start one cluster: the primary, then its replicas."""
    primary.prepare(replicas)
    primary.begin()
    _side_by_side([replica.begin for replica in replicas])
    deadline = time.monotonic() + FOLLOWING_WITHIN
    for replica in replicas:
        while not replica.follows():
            if time.monotonic() > deadline:
                raise replica.failure(f"does not follow {primary.name!r}")
            time.sleep(0.01)
        replica.wait_until_replayed(FOLLOWING_WITHIN)


def _side_by_side(jobs: Sequence[Callable[[], None]]) -> None:
    """
    Run all jobs at once; raise the first failure without waiting for the others.

    What still runs then ends by itself, as soon as the lab is stopped.
    """
    pool = ThreadPoolExecutor(max(len(jobs), 1), thread_name_prefix="shoal-lab")
    try:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
