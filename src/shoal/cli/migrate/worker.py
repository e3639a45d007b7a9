"""
Migrates one alias, in a thread with connections of its own, one step at each signal.

Django's executor does the work; before each migration it asks its progress callback,
which waits here until it is this migration's turn on every alias.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.state import ProjectState

from shoal.cli.history import Executor, full_order
from shoal.cli.migrate.steps import Step
from shoal.cli.migrate.target import Target
from shoal.errors import MigrateError
from shoal.routing import pinned, role
from shoal.sharding.stopping import stop_of
from shoal.topology import Topology
from shoal.types import Alias

Plan: TypeAlias = "list[tuple[Migration, bool]]"
Shared: TypeAlias = Mapping[Alias, BaseDatabaseWrapper]
"""Connections of the thread that leads, by alias."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, the same for every alias."""

    target: Target
    disk: MigrationLoader
    fake: bool = False
    fake_initial: bool = False


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a worker tells: ready, waits for a step, is through with it, has ended."""

    alias: Alias = ""
    interrupted: bool = False
    """Somebody pressed Ctrl-C. Of no alias."""
    ready: bool = False
    waits: Step | None = None
    through: Step | None = None
    seconds: float = 0.0
    faked: bool = False
    ended: bool = False
    error: BaseException | None = None
    """With `ended`: what stopped it."""


class Stopped(Exception):
    """A worker was told not to go on."""


@dataclass(kw_only=True)
class Worker:
    """One alias on its way."""

    alias: Alias
    request: Request
    events: "SimpleQueue[Event]"
    topology: Topology
    shared: Shared = field(default_factory=dict)
    can_prepare: bool = False
    """Whether what changes tables there can wait for the commit of others."""
    plan: Plan = field(default_factory=list)
    before: ProjectState | None = None
    """The project as this database has it before anything is done."""
    after: ProjectState | None = None
    current: Step | None = None
    _orders: "SimpleQueue[bool]" = field(default_factory=SimpleQueue)
    _began: float = 0.0

    def start(self) -> None:
        threading.Thread(
            target=self._run, name=f"shoal-migrate-{self.alias}", daemon=True
        ).start()

    def go(self, *, on: bool = True) -> None:
        """Let the worker do what it waits for, or tell it to end."""
        self._orders.put(on)

    def cancel(self) -> None:
        """Let the servers give up what they do for it, wherever its code has gone."""
        for connection in self.shared.values():
            if not getattr(connection, "is_sharded", False):
                with contextlib.suppress(Exception):
                    stop_of(connection)()

    @property
    def steps(self) -> list[Step]:
        """The steps of the plan, in the order in which the executor does them."""
        planned = {step_of(migration, back) for migration, back in self.plan}
        if any(step.backwards for step in planned):
            return [step_of(migration, back) for migration, back in self.plan]
        forwards = map(step_at, full_order(self.request.disk))
        known = [step for step in forwards if step in planned]
        return [*known, *sorted(planned - set(known))]

    def migrations_of(self, step: Step) -> Iterator[Migration]:
        for migration, back in self.plan:
            if step_of(migration, back) == step:
                yield migration

    def can_join(self, step: Step) -> bool:
        """Say whether the step is a transaction that others can be part of."""
        return self.can_prepare and all(m.atomic for m in self.migrations_of(step))

    def runs_code(self, step: Step) -> bool:
        """Say whether the migration has operations whose reach nobody can tell."""
        return any(
            isinstance(operation, RunPython | SeparateDatabaseAndState)
            or not type(operation).__module__.startswith("django.")
            for migration in self.migrations_of(step)
            for operation in migration.operations
        )

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with self._connections(), scope(self.alias, self.topology):
                self._migrate()
        except Stopped:
            pass
        except BaseException as raised:  # A migration may even exit.
            error = raised
        self.events.put(Event(alias=self.alias, ended=True, error=error))

    @contextlib.contextmanager
    def _connections(self) -> Iterator[None]:
        for alias, connection in self.shared.items():
            connections[alias] = connection
        try:
            yield
        finally:
            for connection in connections.all(initialized_only=True):
                if connection.alias not in self.shared:
                    connection.close()
            for alias in self.shared:
                del connections[alias]

    def _migrate(self) -> None:
        connection = connections[self.alias]
        connection.prepare_database()
        executor = Executor(connection, self.request.disk, self._progress)
        executor.loader.check_consistent_history(connection)
        refuse_conflicts(executor.loader)
        targets = self.request.target.keys(executor.loader)
        self.plan = executor.migration_plan(targets)
        self.before = applied_state(executor.loader)
        self._say(ready=True)
        self._await_order()
        self.after = executor.migrate(
            targets,
            plan=self.plan,
            state=self.before.clone(),
            fake=self.request.fake and bool(self.plan),
            fake_initial=self.request.fake_initial and bool(self.plan),
        )

    def _progress(
        self, action: str, migration: Migration | None = None, fake: bool | None = False
    ) -> None:
        if migration is None:
            return
        step = step_of(migration, action.startswith("unapply"))
        if action.endswith("_start"):
            self._say(waits=step)
            self._await_order()
            self.current, self._began = step, time.monotonic()
        else:
            seconds = time.monotonic() - self._began
            self.current = None
            self._say(through=step, seconds=seconds, faked=bool(fake))

    def _say(self, **what: Any) -> None:
        self.events.put(Event(alias=self.alias, **what))

    def _await_order(self) -> None:
        if not self._orders.get():
            raise Stopped


@contextlib.contextmanager
def scope(alias: Alias, topology: Topology) -> Iterator[None]:
    """
    Route what migrations and their signals do: to primaries, and to this edition.

    A migration of data that does not say `using` then reads what is there already,
    and works on the edition that is being migrated.
    """
    with contextlib.ExitStack() as scopes:
        scopes.enter_context(pinned())
        if alias in topology.by_alias:
            cluster, edition = topology.by_alias[alias]
            if edition.role is not None:
                scopes.enter_context(role(cluster.name, edition.role))
        yield


def step_of(migration: Migration, backwards: bool) -> Step:
    return Step(migration.app_label, migration.name, backwards)


def step_at(key: tuple[str, str]) -> Step:
    return Step(*key)


def applied_state(loader: MigrationLoader) -> ProjectState:
    """Return the project as one database has it by now."""
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for key in full_order(loader):
        if key in loader.applied_migrations:
            loader.graph.nodes[key].mutate_state(state, preserve=False)
    return state


def refuse_conflicts(loader: MigrationLoader) -> None:
    for app, names in sorted(loader.detect_conflicts().items()):
        raise MigrateError(
            f"The app {app!r} has {len(names)} migrations that nothing follows: "
            f"{', '.join(names)}.",
            hint="Merge them: `manage.py makemigrations --merge`. Nothing was changed "
            "anywhere.",
        )
