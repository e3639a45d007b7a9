"""
Takes what threads see of the servers of some clusters, says who may serve a read.

A look costs one round trip. Nobody who routes a read waits for one: what was last seen
of a replica's position is less than what it has by now.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from shoal.routing.health import judging
from shoal.routing.health.asking import ANSWER_WITHIN, Asker, shut
from shoal.routing.health.followers import Follower, Ticker
from shoal.routing.health.lag import PrimaryLog
from shoal.routing.health.values import Health, Look
from shoal.topology import Cluster
from shoal.topology.positions import Position, look
from shoal.types import Alias

EVERY = 0.25
"""Seconds between two looks at a server."""
EVERY_WHEN_EXPECTED = 0.05
"""Seconds between two looks at a replica that has yet to reach a position."""
EXPECTED_FOR = 2.0
"""Seconds for which a position is expected so eagerly."""
SILENT_AFTER = 0.5
"""Seconds without an answer after which a server is left out. With the pause before a
look, and that of the thread which finds out, within one second of going deaf."""
RETRY_AT_MOST = 5.0
"""Seconds between two looks at a server that stays down."""
RETRY_PRIMARY_AT_MOST = 0.5
"""The same for a primary, which writes wait for."""
DEAF_FOR = 1.0
"""Seconds for which nobody waits for an answer, after one has not come in time."""
LEND_FOR = 1.0
"""Seconds that a connection of the project may wait for its primary's position."""
JUST_NOW = 0.02
"""Seconds for which nobody asks again what was asked."""

logger = logging.getLogger("shoal.routing")


class Watch:
    """
    The health of every server of these clusters, as this process sees it.

    Starts nothing before the first `wake()`. Reading `health` and `serving` takes
    no lock and no I/O. All other methods may be called from any thread.
    """

    def __init__(
        self,
        editions: Iterable[Cluster],
        *,
        asker: Callable[[Alias, bool], Asker] = Asker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.editions = {e.name: e for e in editions}
        self.health: Mapping[Alias, Health] = {
            alias: Health(alias=alias, since=time.time())
            for edition in self.editions.values()
            for alias in edition.aliases
        }
        self._editions_of = {
            alias: edition
            for edition in self.editions.values()
            for alias in edition.aliases
        }
        self.serving: Container[Alias] = frozenset(self.health)
        """All but the replicas that serve nobody right now."""
        self._asker, self._clock = asker, clock
        self._changed = threading.Condition()
        self._logs = {name: PrimaryLog() for name in self.editions}
        self._expected: dict[str, tuple[float, Position]] = {}
        self._followers: list[Follower] = []
        self._awake = threading.Event()
        self._wanted = True
        self._stopped = False
        self._woken_at = float("-inf")
        self._parked_at = float("-inf")
        self._deaf_until = float("-inf")
        self._lent: dict[int, tuple[float, Any]] = {}

    def __repr__(self) -> str:
        states = (f"{h.alias} {h.state}" for h in self.health.values())
        return f"<Watch: {', '.join(states)}>"

    # What routing asks.

    def wake(self) -> None:
        """Look at the servers from now on, until nobody has asked for a while."""
        self._wanted = True
        if not self._awake.is_set():
            self._start()

    def is_usable(self, alias: Alias) -> bool:
        """Say whether a replica may serve reads, as far as its health goes."""
        return alias in self.serving

    def has_reached(self, alias: Alias, position: Position) -> bool:
        """Say whether a replica is known to show this position."""
        if (moment := position.moment) is not None:
            return self._shows_moment(alias, moment)
        seen = self.health[alias].position
        return seen is not None and seen.reaches(position)

    def _shows_moment(self, alias: Alias, moment: float) -> bool:
        """
        Say whether whoever serves at all shows what was committed at this moment.

        A lag counts to the last answer of the primary. While that does not answer,
        nobody knows of a replica whether it has what came after.
        """
        edition = self._editions_of[alias]
        unheard = self._clock() - self.health[edition.primary].asked_at
        return time.time() - unheard - moment > edition.max_lag

    def primary_since(self, edition: Cluster, moment: float) -> Position | None:
        """Return a position of the primary that was asked for after this moment."""
        health = self.health[edition.primary]
        return health.position if health.asked_at > moment else None

    def meet(self, edition: Cluster, *, within: float) -> None:
        """
        Return when each server has been looked at, or after `within` seconds.

        Waits for those only who come when the watch has just begun: where threads do
        not run (uWSGI without `enable-threads`) nobody is kept for long.
        """
        self.wake()
        begun = self._clock()
        if begun - self._woken_at > within:
            return
        self._until(
            lambda: all(
                health.state != "unknown" or health.asked_at >= begun
                for health in map(self.health.__getitem__, edition.aliases)
            ),
            within,
        )

    def ask(self, edition: Cluster, position: Position, *, within: float) -> bool:
        """Ask the replicas once, now; say whether one has reached the position."""
        self.wake()
        asked = self._clock()
        replicas = [r.alias for r in edition.replicas if self.is_usable(r.alias)]
        just_now = all(asked - self.health[a].asked_at < JUST_NOW for a in replicas)
        if just_now or asked < self._deaf_until:
            return self._reached(edition, position)
        self._hurry(replicas)
        answered = self._until(
            lambda: (
                self._reached(edition, position)
                or all(
                    self.health[alias].asked_at >= asked or not self.is_usable(alias)
                    for alias in replicas
                )
            ),
            within,
        )
        if not answered:
            self._deaf_until = self._clock() + DEAF_FOR
        return self._reached(edition, position)

    def look_again(self, alias: Alias, *, within: float) -> bool:
        """Look at one server now; say whether it has answered."""
        self.wake()
        asked, before = self._clock(), self.health[alias]
        self._hurry([alias])
        self._until(
            lambda: (
                self.health[alias].asked_at >= asked
                or (self.health[alias] is not before and self._is_down(alias))
            ),
            within,
        )
        return self.health[alias].asked_at >= asked

    def _is_down(self, alias: Alias) -> bool:
        return self.health[alias].state == "down"

    def wait(self, edition: Cluster, position: Position, *, within: float) -> bool:
        """Wait until a replica has reached the position; say whether one has."""
        self.wake()
        self.expect(edition, position)
        return self._until(lambda: self._reached(edition, position), within)

    def expect(self, edition: Cluster, position: Position) -> None:
        """Look closely for a while, since somebody will read at this position."""
        if edition.name in self.editions:
            self._expected[edition.name] = (self._clock() + EXPECTED_FOR, position)
            self._hurry(r.alias for r in edition.replicas if self.is_usable(r.alias))

    def look(self, connection: Any) -> Position | None:
        """
        Ask for a position on a connection of the project. One round trip.

        Raises what the driver raises; that it was lost, after `LEND_FOR` seconds.
        """
        self.wake()
        thread = threading.get_ident()
        self._lent[thread] = (self._clock(), connection)
        try:
            return look(connection, of_replica=False)[0]
        finally:
            del self._lent[thread]

    def in_transaction(self, connection: Any) -> bool:
        """Say whether a transaction is open on a connection of this thread."""
        return connection.in_atomic_block or (
            connection.connection is not None and not connection.autocommit
        )

    def suspect(self, alias: Alias, error: str) -> None:
        """
        Look at a server at once that has failed somebody.

        A replica is left out meanwhile. A primary is not: what was lost may be one
        connection, and nobody else could take the writes.
        """
        if alias not in self.health or self._stopped:
            return
        self.wake()
        if alias != self._editions_of[alias].primary:
            self.failed(alias, error)
        self._hurry([alias], anew=True)

    # What the threads do.

    def saw(self, edition: Cluster, alias: Alias, look: Look) -> None:
        with self._changed:
            if look.asked_at < self._parked_at:
                # What is forgotten at parking is not to come back by an answer that
                # was under way.
                return
            log, now = self._logs[edition.name], time.time()
            before = self.health[alias]
            if alias == edition.primary:
                if look.position is not None and not look.is_replica:
                    log.add(look.asked_at, look.position)
                self._know(judging.of_primary(before, look, now=now))
            else:
                max_lag = edition.max_lag
                self._know(
                    judging.of_replica(before, look, log, max_lag=max_lag, now=now)
                )

    def failed(self, alias: Alias, error: str) -> None:
        with self._changed:
            self._know(judging.failed(self.health[alias], error, now=time.time()))

    def pause(self, edition: Cluster, alias: Alias, failures: int) -> float:
        """Return the seconds until the next look at a server."""
        if failures:
            # Apart from each other, so that processes do not all ask at once.
            primary = alias == edition.primary
            longest = RETRY_PRIMARY_AT_MOST if primary else RETRY_AT_MOST
            # Bounded before it is raised: a server may be down for days.
            pause: float = min(EVERY * 2.0 ** min(failures - 1, 16), longest)
            return pause * random.uniform(0.8, 1.2)
        until, position = self._expected.get(edition.name, (0.0, None))
        if alias == edition.primary or position is None or self._clock() > until:
            return EVERY
        return EVERY if self.has_reached(alias, position) else EVERY_WHEN_EXPECTED

    def _know(self, health: Health) -> None:
        """Replace what is known of one server. Called with the lock."""
        self.health = {**self.health, health.alias: health}
        self.serving = frozenset(
            alias
            for edition in self.editions.values()
            for alias in edition.aliases
            if alias == edition.primary or self.health[alias].state in ("up", "unknown")
        )
        self._changed.notify_all()

    def _reached(self, edition: Cluster, position: Position) -> bool:
        return any(
            self.is_usable(replica.alias) and self.has_reached(replica.alias, position)
            for replica in edition.replicas
            if replica.weight
        )

    def _until(self, reached: Callable[[], bool], within: float) -> bool:
        with self._changed:
            return self._changed.wait_for(reached, within)

    def _hurry(self, aliases: Iterable[Alias], *, anew: bool = False) -> None:
        wanted = set(aliases)
        for follower in self._followers:
            if follower.alias in wanted:
                follower.hurry(anew=anew)

    # Beginning and end.

    def _start(self) -> None:
        with self._changed:
            if self._stopped or self._awake.is_set():
                return
            self._woken_at = self._clock()
            self._awake.set()
            if self._followers:
                followers = self._followers
            else:
                followers = self._followers = [
                    Follower(self, edition, alias, self._asker)
                    for edition in self.editions.values()
                    for alias in edition.aliases
                ]
                self._begin(*followers, Ticker(self))
        for follower in followers:
            follower.hurry()

    def _begin(self, *threads: threading.Thread) -> None:
        try:
            for thread in threads:
                thread.start()
        except RuntimeError as error:
            # The interpreter is about to end, or the system gives no more threads.
            self._stopped = True
            logger.warning(
                "servers not watched",
                extra={"event": "watch_not_started", "reason": str(error)},
            )

    def tick(self) -> None:
        """Find those that hang. Called by a thread of its own, again and again."""
        now = self._clock()
        for lent_at, connection in list(self._lent.values()):
            if now - lent_at > LEND_FOR:
                shut(connection)
        for follower in self._followers:
            since = follower.asking_since
            if since is None:
                continue
            with self._changed:
                health = self.health[follower.alias]
                if now - since > SILENT_AFTER and health.state not in (
                    "down",
                    "silent",
                ):
                    self._know(judging.silent(health, now=time.time()))
            if now - since > ANSWER_WITHIN:
                follower.give_up()

    def park(self) -> None:
        """Stop looking if nobody has wanted it since the last call."""
        if not self._wanted:
            with self._changed:
                self._awake.clear()
                self._parked_at = self._clock()
                for health in self.health.values():
                    # Nobody would refuse a write for long for what was true once.
                    edition = self._editions_of[health.alias]
                    if health.state == "up" or health.alias == edition.primary:
                        self._know(judging.forgotten(health, now=time.time()))
        self._wanted = False

    def wait_until_awake(self) -> None:
        self._awake.wait()

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def stop(self, *, within: float = 1.0) -> None:
        """End the threads and close their connections; wait for that so long."""
        with self._changed:
            self._stopped = True
            self._awake.set()
        now = self._clock()
        until = now + within
        for follower in self._followers:
            follower.hurry()
            if now - (follower.asking_since or now) > SILENT_AFTER:
                follower.give_up()
        for follower in self._followers:
            if follower.is_alive() and follower is not threading.current_thread():
                follower.join(max(until - self._clock(), 0.0))
        for follower in self._followers:
            if follower.asking_since is not None:
                follower.give_up()
