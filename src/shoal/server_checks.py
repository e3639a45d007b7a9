"""
Takes aliases, asks their servers, gives Django's check messages.

Runs where Django is told databases: `manage.py check --database default`, `migrate`
and `manage.py shoal check`. Never without, and never for the databases of a test run.
"""

from collections.abc import Sequence
from typing import Any

from django.core import checks, mail
from django.core.checks import CheckMessage, Tags, register
from django.db import connections

from shoal.conf import is_configured, read_settings
from shoal.topology import Topology, get_topology
from shoal.topology.probe import ServerProblem, probe, problems
from shoal.types import Alias

_LEVELS = {"error": checks.ERROR, "warning": checks.WARNING, "info": checks.INFO}


@register(Tags.database, "shoal")
def check_servers(
    app_configs: Any, *, databases: Sequence[Alias] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E007, E008, E013-E017, E019, W006, W007, W010, W015, I001: what servers say."""
    if not databases or read_settings()[1] or _is_test_run():
        return []
    topology = get_topology()
    if not topology.clusters:
        return []
    real = [a for a in databases if is_configured(connections.settings[a])]
    empty = [_empty(alias, topology) for alias in databases if alias not in real]
    real = [server for alias in real for server in topology.servers_behind(alias)]
    facts = probe(_with_primaries(real, topology))
    found = problems(facts, topology)
    return empty + [as_message(p) for p in found if p.alias in real]


def _empty(alias: Alias, topology: Topology) -> CheckMessage:
    known = ", ".join(edition.primary for edition in topology.editions())
    return checks.Error(
        f"The alias {alias!r} is empty in DATABASES, so there is no server to ask.",
        hint=f"Name another with --database: {known}. `manage.py shoal migrate` and "
        "`manage.py shoal check` take them all.",
        id="shoal.E008",
    )


def as_message(problem: ServerProblem) -> CheckMessage:
    return CheckMessage(
        _LEVELS[problem.level], problem.message, hint=problem.hint, id=problem.id
    )


def _with_primaries(databases: Sequence[Alias], topology: Topology) -> list[Alias]:
    """A replica is judged by what its primary says."""
    primaries = [topology.primary_of_replica(alias) for alias in databases]
    return list(dict.fromkeys([*databases, *filter(None, primaries)]))


def _is_test_run() -> bool:
    """
    Say whether Django's test runner is at work: replicas are mirrors then.

    A project whose tests run on one server may list a replica that is none there.
    """
    return hasattr(mail, "outbox")
