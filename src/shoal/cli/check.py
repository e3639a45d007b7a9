"""`manage.py shoal check`: connect to everything and say what is wrong."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router
from django.db.migrations.loader import MigrationLoader

from shoal.cli import findings
from shoal.cli.arguments import configured
from shoal.cli.history import label, read_disk, unapplied
from shoal.cli.migrate.choice import candidates
from shoal.cli.migrate.places import acts_on
from shoal.cli.screen import Screen
from shoal.cli.shards import look_at_shards
from shoal.conf import read_settings
from shoal.errors import ShoalError
from shoal.evenness import Key
from shoal.placement import get_placement
from shoal.topology import Topology, get_topology
from shoal.topology.probe import ServerFacts, ServerProblem, probe, problems
from shoal.topology.probe.asking import is_missing_file
from shoal.types import Alias


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-level",
        default="ERROR",
        choices=("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"),
        help="Exit with 1 from this level on. Default: ERROR.",
    )


def run(options: Mapping[str, Any], screen: Screen) -> None:
    """Show all that is wrong; raise `ShoalError` if any of it is grave enough."""
    fail_level = findings.level_named(options["fail_level"])
    messages = [m for m in look() if not m.is_silenced()]
    grave = [message for message in messages if message.level >= fail_level]
    if screen.is_json:
        screen.data(
            {"ok": not grave, "messages": list(map(findings.as_json, messages))}
        )
    else:
        findings.show(messages, screen.out)
    if grave:
        raise ShoalError(f"The check found {_summary(messages)}.")
    sharded = [c for c in get_topology().clusters.values() if c.is_sharded]
    count = len(configured()) - len(sharded)
    looked_at = findings.counted(count, "database")
    found = _summary(messages) or "nothing wrong"
    screen.out.print(f"Checked {looked_at}: {found}.")


def _summary(messages: Sequence[CheckMessage]) -> str:
    counts = Counter(message.level for message in messages)
    words = {checks.INFO: "note", checks.DEBUG: "detail"}
    return ", ".join(
        findings.counted(counts[level], words.get(level) or findings.LEVELS[level])
        for level in sorted(counts, reverse=True)
    )


def look() -> list[CheckMessage]:
    """Return Django's messages and what the servers add to them, each once."""
    if read_settings()[1]:
        # Other checks ask the router, which cannot answer.
        return checks.run_checks(tags=["shoal"])
    facts = probe(configured())
    reachable = _reachable(facts)
    wrong = [*problems(facts, get_topology()), *_of_shards(facts)]
    found = [findings.as_message(problem) for problem in wrong]
    found += checks.run_checks(databases=reachable)
    found += _migrations(reachable)
    found += _leftovers(reachable, facts)
    return list({(m.id, m.msg, str(m.obj)): m for m in found}.values())


def _of_shards(facts: Mapping[Alias, ServerFacts]) -> Iterator[ServerProblem]:
    """E032 to E035: bucket maps, and shards that differ from each other."""
    for cluster in get_topology().clusters.values():
        if cluster.is_sharded:
            yield from look_at_shards(cluster, facts).problems


def _reachable(facts: Mapping[Alias, ServerFacts]) -> list[Alias]:
    """Return the aliases that can be used: a sharded one, if all of its shards can."""
    servers_behind = get_topology().servers_behind
    return [
        alias
        for alias in configured()
        if all(facts[server].reachable for server in servers_behind(alias))
    ]


def _migrations(reachable: Sequence[Alias]) -> Iterator[CheckMessage]:
    """E018 and W008: who lacks which migration."""
    wanted = candidates(configured(), get_topology())
    disk = read_disk()
    lacking = unapplied([alias for alias in wanted if alias in reachable], disk)
    known = {alias: keys for alias, keys in lacking.items() if keys is not None}
    halves = half_migrated(known, lambda alias, key: _concerns(alias, key, disk))
    for key, (without, having) in halves.items():
        yield checks.Error(
            f"{label(key)} is applied on {_listed(having)}, but not on "
            f"{_listed(without)}.",
            hint="Run `manage.py shoal migrate`, which goes on where it stopped.",
            id="shoal.E018",
        )
    for alias, keys in known.items():
        left = [key for key in keys if key not in halves]
        if left:
            yield checks.Warning(
                f"{alias!r} lacks {findings.counted(len(left), 'migration')}: "
                f"{_shortened(left)}.",
                hint="Run `manage.py shoal migrate`.",
                id="shoal.W008",
            )


def _concerns(alias: Alias, key: Key, disk: MigrationLoader) -> bool:
    migration = disk.disk_migrations.get(key)
    return migration is not None and acts_on(migration, alias)


def half_migrated(
    lacking: Mapping[Alias, Sequence[Key]], concerns: Any
) -> dict[Key, tuple[list[Alias], list[Alias]]]:
    """
    Return the migrations that some aliases have and others lack. Pure.

    Only where the migration has something to do counts as lacking it. A migration
    that no alias has is not applied yet, and nothing is half done.
    """
    found = {}
    for key in dict.fromkeys(key for keys in lacking.values() for key in keys):
        having = [alias for alias, keys in lacking.items() if key not in keys]
        without = [
            alias
            for alias, keys in lacking.items()
            if key in keys and concerns(alias, key)
        ]
        if having and without:
            found[key] = (without, having)
    return found


def _listed(aliases: Sequence[Alias]) -> str:
    return ", ".join(map(repr, aliases))


def _shortened(keys: Sequence[Key]) -> str:
    shown = ", ".join(label(key) for key in keys[:5])
    return shown if len(keys) <= 5 else f"{shown} and {len(keys) - 5} more"


def _leftovers(
    reachable: Sequence[Alias], facts: Mapping[Alias, ServerFacts]
) -> Iterator[CheckMessage]:
    """W009: tables of models that live on another cluster."""
    topology = get_topology()
    seen: set[str] = set()
    for alias in _with_tables(topology):
        identity = facts[alias].identity or alias
        if alias not in reachable or identity in seen or facts[alias].is_replica:
            continue
        seen.add(identity)
        strangers = _strangers(alias, _tables(alias))
        for home, tables in strangers.items():
            yield checks.Warning(
                f"{alias!r} has {findings.counted(len(tables), 'table')} of models "
                f"that live on {home!r}: {', '.join(tables)}.",
                hint="If their rows have been moved, drop them; if not, move the rows "
                f"to {home!r} first. Nothing reads them on {alias!r}.",
                id="shoal.W009",
            )


def _with_tables(topology: Topology) -> list[Alias]:
    wanted = candidates(configured(), topology)
    return [server for alias in wanted for server in topology.servers_behind(alias)]


def _tables(alias: Alias) -> set[str]:
    connection = connections[alias]
    if is_missing_file(connection):
        return set()
    try:
        return set(connection.introspection.table_names())
    except DatabaseError:
        return set()


def _strangers(alias: Alias, tables: set[str]) -> dict[str, list[str]]:
    """Return the tables of models that belong elsewhere, by their cluster."""
    placement = get_placement()
    found: dict[str, list[str]] = {}
    shared = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if router.allow_migrate_model(alias, model)
    }
    for model in apps.get_models(include_auto_created=True):
        table, home = model._meta.db_table, placement.cluster_of(model)
        is_here = table in tables and table not in shared
        if is_here and home is not None and model._meta.managed:
            names = found.setdefault(home, [])
            if table not in names:
                names.append(table)
    return found
