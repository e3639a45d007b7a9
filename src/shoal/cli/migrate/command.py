"""Takes the options of `shoal migrate`, leads the run from its checks to its report."""

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import ERROR, run_checks
from django.db import Error, connections, router
from django.db.migrations.loader import MigrationLoader

from shoal.cli.arguments import aliases, configured, existing_alias
from shoal.cli.history import read_disk
from shoal.cli.migrate.choice import (
    Choice,
    candidates,
    choose,
    refuse_problems,
    refuse_replicas,
    refuse_shards,
    replicas,
)
from shoal.cli.migrate.locks import locked
from shoal.cli.migrate.session import Session
from shoal.cli.migrate.target import Target
from shoal.cli.migrate.worker import Request, refuse_conflicts
from shoal.cli.screen import Screen
from shoal.errors import MigrateError
from shoal.evenness.killed import finish_killed
from shoal.topology import Topology, get_topology
from shoal.topology.probe import ServerFacts, probe, problems
from shoal.transactions import tables
from shoal.transactions.recovering import recover
from shoal.types import Alias


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app_label", nargs="?", help="Migrate this app only.")
    parser.add_argument(
        "migration_name",
        nargs="?",
        help='Go to this migration, forwards or backwards; "zero" takes all back.',
    )
    parser.add_argument(
        "--database",
        nargs="+",
        action="extend",
        type=existing_alias,
        default=[],
        metavar="ALIAS",
        help="Migrate these databases only. Default: all but replicas.",
    )
    _add_modes(parser)
    parser.add_argument(
        "--noinput",
        "--no-input",
        action="store_false",
        dest="interactive",
        help="Ask nothing.",
    )
    parser.add_argument(
        "--lock-timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="Wait this long for another `shoal migrate` to end. Default: 60.",
    )
    parser.add_argument(
        "--skip-checks", action="store_true", help="Skip the system checks."
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plan", action="store_true", help="Show what would run where, and stop."
    )
    parser.add_argument(
        "--fake", action="store_true", help="Record migrations without running them."
    )
    parser.add_argument(
        "--fake-initial",
        action="store_true",
        help="Record an initial migration whose tables are there, instead of "
        "running it.",
    )


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Migrate, or show the plan; raise `MigrateError` unless all got through."""
    topology = get_topology()
    disk = _read_disk()
    target = Target(app_label=options["app_label"], migration=options["migration_name"])
    target.check(disk)
    refuse_conflicts(disk)
    requested = aliases(options["database"])
    facts, choice = _reachable(requested, topology, fake=options["fake"])
    if not options["skip_checks"]:
        refuse_check_errors(choice.aliases)
    request = Request(
        target=target,
        disk=disk,
        fake=options["fake"],
        fake_initial=options["fake_initial"],
    )
    session = Session(
        request=request,
        topology=topology,
        facts=facts,
        choice=choice,
        interactive=options["interactive"] and not screen.is_json,
        screen=screen,
    )
    if options["plan"]:
        session.show_plan()
        return
    say: Callable[[str], None] = screen.progress.print
    servers = _servers(choice.aliases, topology)
    with locked(servers, timeout=options["lock_timeout"], say=say):
        for done in finish_killed(servers):
            say(done)
        joint = [alias for alias in servers if facts[alias].vendor == "postgresql"]
        lacking = tables.lacking(joint)
        try:
            session.migrate()
        finally:
            _tidy(lacking)


def _tidy(lacking: Sequence[Alias]) -> None:
    """Take away the tables that this run has made for its own commits."""
    recovery = recover()
    if not (recovery.left or recovery.down):
        with contextlib.suppress(Error):
            tables.drop_unused(lacking)


def _read_disk() -> MigrationLoader:
    try:
        return read_disk()
    except Exception as error:  # Migrations are anybody's code.
        raise MigrateError(
            f"The migrations of the project cannot be read: {error}",
            hint="`manage.py makemigrations --check --traceback` shows where.",
        ) from error


def _reachable(
    requested: Sequence[Alias], topology: Topology, *, fake: bool
) -> tuple[Mapping[Alias, ServerFacts], Choice]:
    """Connect to every database that is wanted, or raise with all that is wrong."""
    refuse_replicas(requested, topology)
    if not fake:
        refuse_shards(requested, topology)
    wanted = requested or candidates(configured(), topology)
    if not wanted:
        raise MigrateError(
            "DATABASES configures no database.", hint="Add at least one."
        )
    facts = probe(_servers(wanted, topology))
    refuse_problems(problems(facts, topology))
    refuse_transactions(wanted)
    chosen = choose(wanted, facts, topology, _tables_on)
    if not requested:
        chosen = Choice(
            aliases=chosen.aliases, skipped={**replicas(topology), **chosen.skipped}
        )
    return facts, chosen


def _servers(aliases: Sequence[Alias], topology: Topology) -> list[Alias]:
    """Return whom to connect to: not a sharded alias, but its shards."""
    found = [server for a in aliases for server in topology.servers_behind(a)]
    return list(dict.fromkeys(found))


def refuse_transactions(aliases: Sequence[Alias]) -> None:
    for alias in aliases:
        if connections[alias].in_atomic_block:
            raise MigrateError(
                f"A transaction is open on {alias!r}, and `shoal migrate` works on "
                "connections of its own, which would wait for it for ever.",
                hint="Call it outside atomic(); in tests, from a TransactionTestCase.",
            )


def _tables_on(alias: Alias) -> frozenset[str]:
    return frozenset(
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
        and not model._meta.proxy
        and router.allow_migrate_model(alias, model)
    )


def refuse_check_errors(aliases: Sequence[Alias]) -> None:
    """Raise for what Django's system checks call an error."""
    messages = run_checks(databases=list(aliases))
    errors = [m for m in messages if m.level >= ERROR and not m.is_silenced()]
    if errors:
        listed = "".join(f"\n- {m.msg} ({m.id})" for m in errors)
        raise MigrateError(
            f"The system checks found {len(errors)} "
            f"error{'s' if len(errors) > 1 else ''}:{listed}",
            hint="`manage.py shoal check` says how to mend them; --skip-checks goes on "
            "all the same. Nothing was changed.",
        )
