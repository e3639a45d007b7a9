"""Takes the databases that were chosen, gives them migrated, and a report of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from shoal.cli.history import full_order
from shoal.cli.migrate import signals
from shoal.cli.migrate.choice import Choice
from shoal.cli.migrate.coordination import Coordination
from shoal.cli.migrate.planning import show_plan
from shoal.cli.migrate.progress import shown
from shoal.cli.migrate.report import (
    DatabaseReport,
    MigrateReport,
    failure,
    said,
    show,
)
from shoal.cli.migrate.steps import Ranks, Step, ranks
from shoal.cli.migrate.worker import Event, Request, Shared, Worker, scope
from shoal.cli.screen import Screen
from shoal.errors import MigrateError
from shoal.evenness import applied, records
from shoal.topology import Topology
from shoal.topology.probe import ServerFacts
from shoal.types import Alias


@dataclass(kw_only=True)
class Session:
    """One run of `shoal migrate`, from the first plan to the last signal."""

    request: Request
    topology: Topology
    facts: Mapping[Alias, ServerFacts]
    choice: Choice
    interactive: bool
    screen: Screen
    signalled: dict[Alias, BaseException] = field(default_factory=dict)
    """What handlers of Django's signals raised."""

    def migrate(self) -> None:
        """Do everything, or raise `MigrateError` with what is where."""
        began = time.monotonic()
        signals.import_handlers()
        crew = self._prepared()
        with crew.interruptible():
            self._signal(signals.before, crew)
            if self.signalled:
                crew.end()
            else:
                self._apply(crew)
        if crew.finished:
            self._signal(signals.after, crew)
        self._finish(self._report(crew, time.monotonic() - began))

    def show_plan(self) -> None:
        crew = self._prepared()
        crew.end()
        show_plan(
            list(crew.workers.values()), self._order(), self.choice.skipped, self.screen
        )

    def _prepared(self) -> Coordination:
        """Return all workers ready to go, or raise with nothing changed."""
        MigrationRecorder.Migration  # noqa: B018  Made once, not by several threads.
        events: SimpleQueue[Event] = SimpleQueue()
        shared = shared_connections(self.choice.aliases, self.topology)
        workers = [
            Worker(
                alias=alias,
                request=self.request,
                events=events,
                topology=self.topology,
                shared=shared,
                can_prepare=can_prepare(alias, self.topology, self.facts),
            )
            for alias in self.choice.aliases
        ]
        crew = Coordination(workers, events)
        crew.prepare()
        if crew.errors:
            raise _unprepared(crew.errors)
        try:
            self._refuse_uneven(crew)
        except BaseException:
            crew.end()
            raise
        return crew

    def _refuse_uneven(self, crew: Coordination) -> None:
        """On a shard alone, only record what another shard has done."""
        for alias, worker in crew.workers.items():
            cluster = self.topology.sharded_cluster_of(alias)
            if cluster is None:
                continue
            known = applied(records(cluster))
            for step in worker.steps:
                if step.backwards or step.key not in known:
                    raise MigrateError(
                        f"{step} on {alias!r} alone would leave it different from the "
                        f"other shards of {cluster.name!r}, which do not have it.",
                        hint=f"Migrate the cluster: --database {cluster.name}. Nothing "
                        "was changed anywhere.",
                    )

    def _order(self) -> Ranks:
        disk, target = self.request.disk, self.request.target
        return ranks(full_order(disk), target.backwards_order(disk))

    def _apply(self, crew: Coordination) -> None:
        totals = {alias: len(worker.plan) for alias, worker in crew.workers.items()}
        verbose = self.screen.verbosity > 1
        with shown(self.screen.progress, totals, verbose=verbose) as watcher:
            crew.run(self._order(), watcher)

    def _signal(self, send: Any, crew: Coordination) -> None:
        for alias, worker in crew.workers.items():
            if self.topology.sharded_cluster_of(alias) is not None:
                # Whose rows are handlers of the sharded alias' business.
                continue
            try:
                with scope(alias, self.topology):
                    send(
                        worker,
                        verbosity=self.screen.verbosity,
                        interactive=self.interactive,
                        stdout=self.screen.talk,
                    )
            except Exception as error:  # A handler is anybody's code.
                self.signalled[alias] = error

    def _report(self, crew: Coordination, seconds: float) -> MigrateReport:
        return MigrateReport(
            databases=tuple(self._database(crew, alias) for alias in crew.workers),
            skipped=self.choice.skipped,
            seconds=seconds,
            interrupted=crew.interrupted and not crew.finished,
        )

    def _database(self, crew: Coordination, alias: Alias) -> DatabaseReport:
        worker, mine = crew.workers[alias], crew.progress[alias]
        return DatabaseReport(
            alias=alias,
            server=self._server(alias),
            done=tuple(mine.done),
            remaining=tuple(step for step in worker.steps if step not in mine.done),
            failed=mine.failed,
            error=mine.error or self.signalled.get(alias),
            rolls_back=_rolls_back(worker, mine.failed),
        )

    def _server(self, alias: Alias) -> str:
        servers = self.topology.servers_behind(alias)
        if servers == (alias,):
            return self.facts[alias].server
        return f"{len(servers)} shards"

    def _finish(self, report: MigrateReport) -> None:
        if self.screen.verbosity or not report.ok:
            show(report, self.screen.out)
        if self.screen.is_json:
            self.screen.data(report.as_json())
        if error := failure(report):
            raise error


def shared_connections(aliases: Sequence[Alias], topology: Topology) -> Shared:
    """
    Let the threads use the connections of this one, which ends what they begin.

    Each uses that of its own alias; code that may use any runs in one at a time.
    """
    found = {}
    servers = (server for a in aliases for server in topology.servers_behind(a))
    for alias in dict.fromkeys([*aliases, *servers]):
        connection: Any = connections[alias]
        connection.inc_thread_sharing()
        found[alias] = connection
    return found


def can_prepare(
    alias: Alias, topology: Topology, facts: Mapping[Alias, ServerFacts]
) -> bool:
    """Say whether what changes tables there can wait for the commit of others."""
    return all(
        facts[server].vendor == "postgresql"
        and facts[server].max_prepared_transactions
        and server in topology.by_alias
        and topology.by_alias[server][1].two_phase
        for server in topology.servers_behind(alias)
    )


def _rolls_back(worker: Worker, step: Step | None) -> bool:
    is_atomic = all(
        migration.atomic
        for migration, _ in worker.plan
        if step is not None and (migration.app_label, migration.name) == step.key
    )
    return is_atomic and connections[worker.alias].features.can_rollback_ddl


def _unprepared(errors: Mapping[Alias, BaseException]) -> MigrateError:
    texts = list(dict.fromkeys(said(alias, error) for alias, error in errors.items()))
    listed = [f"{alias!r}: {said(alias, error)}" for alias, error in errors.items()]
    message = (
        texts[0]
        if len(texts) == 1
        else f"{len(listed)} databases cannot be migrated:\n- " + "\n- ".join(listed)
    )
    error = MigrateError(message, hint="Nothing was changed anywhere.")
    error.__cause__ = next(iter(errors.values()))
    return error
