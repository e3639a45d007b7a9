"""Takes the models of sharded clusters, gives what their shards cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import (
    ERROR,
    WARNING,
    CheckMessage,
    Tags,
    register,
)
from django.core.exceptions import ImproperlyConfigured

from shoal.checks.messages import Messages
from shoal.conf import read_settings
from shoal.placement.layout import lives_on
from shoal.placement.models import OWN_APP
from shoal.placement.problems import Problem, problems
from shoal.topology import Cluster, get_topology

IDS: Mapping[str, tuple[int, str]] = {
    "keys_setting": (ERROR, "shoal.E023"),
    "unknown_key": (ERROR, "shoal.E024"),
    "key_type": (ERROR, "shoal.E025"),
    "strategy": (ERROR, "shoal.E026"),
    "nullable_key": (ERROR, "shoal.E027"),
    "inexact_key": (ERROR, "shoal.E028"),
    "multi_table": (ERROR, "shoal.E029"),
    "narrow_id": (ERROR, "shoal.E030"),
    "unique": (WARNING, "shoal.W011"),
    "foreign_key": (WARNING, "shoal.W012"),
    "home": (WARNING, "shoal.W013"),
    "database_delete": (WARNING, "shoal.W014"),
}
"""The level and the id of each kind of problem that placement knows."""


@register(Tags.models, "shoal")
def check_sharded_models(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """E023 to E030, W011 to W014: keys, ids and constraints on sharded clusters."""
    if read_settings()[1]:
        return []
    found: list[CheckMessage] = []
    for cluster in get_topology().clusters.values():
        if cluster.is_sharded:
            found.extend(problems_of(_models(app_configs, cluster), cluster))
    return found


def problems_of(models: Sequence[Any], cluster: Cluster) -> Messages:
    """Yield what is wrong with these models on `cluster`."""
    try:
        found = problems(models, cluster)
    except ImproperlyConfigured:
        # The driver of the shards is missing: who connects to them will say so.
        return
    for problem in found:
        level, id = IDS[problem.kind]
        yield CheckMessage(
            level, problem.message, hint=problem.hint, obj=_subject(problem), id=id
        )


def _models(
    app_configs: Sequence[AppConfig] | None, cluster: Cluster
) -> list[type[Any]]:
    configs = apps.get_app_configs() if app_configs is None else app_configs
    return [
        model
        for config in configs
        for model in config.get_models()
        if lives_on(model, cluster) and model._meta.app_label != OWN_APP
    ]


def _subject(problem: Problem) -> Any:
    if problem.model is None or problem.field is None:
        return problem.model
    return problem.model._meta.get_field(problem.field)
