"""Which cluster a model lives on, by `MODELS`, `APPS` and what belongs together."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.apps import apps
from django.db.models import Field, Model

from shoal.conf import Conf, get_conf, until_settings_change
from shoal.types import ClusterName

ModelClass = type[Model]
OWN_APP = "shoal"
"""The label of the app whose tables are in the control database."""
MIGRATIONS = "django_migrations"
"""The table in which each database, and each shard, records what was applied to it."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Answers which cluster a model lives on; `None` where nobody was told."""

    by_app: Mapping[str, ClusterName]
    by_model: Mapping[str, ClusterName]
    """Keys are labels in lower case."""
    rest: ClusterName | None
    """Where the models live that nobody claims: `default`, if it is a cluster."""

    def cluster_of(self, model: ModelClass) -> ClusterName | None:
        """
        Return the cluster of `model`.

        A proxy lives with its concrete model, the table behind a plain
        many-to-many field with the model that declares it. A claim on the model wins
        over one on its app; a child of a multi-table parent that nobody claims lives
        with its parent. Takes anything with a `_meta`: Django's database cache and
        its migrations ask with stand-ins for a model. The table of the latter lives
        nowhere: each database has its own.
        """
        meta: Any = model._meta
        if getattr(meta, "db_table", None) == MIGRATIONS:
            return None
        if getattr(meta, "proxy", False) and meta.concrete_model is not None:
            return self.cluster_of(meta.concrete_model)
        claim = self.by_model.get(f"{meta.app_label}.{meta.model_name}")
        if claim is None and getattr(meta, "auto_created", False):
            return self.cluster_of(meta.auto_created)
        return claim or self.by_app.get(meta.app_label) or self._of_parents(meta)

    def _of_parents(self, meta: Any) -> ClusterName | None:
        for parent in getattr(meta, "parents", ()):
            return self.cluster_of(parent)
        return self.rest

    def cluster_of_label(
        self, app_label: str, model_name: str | None
    ) -> ClusterName | None:
        """Return the cluster of a model that perhaps only a migration still knows."""
        if model_name is not None and app_label in apps.app_configs:
            with contextlib.suppress(LookupError):
                return self.cluster_of(apps.get_model(app_label, model_name))
        claim = self.by_model.get(f"{app_label}.{model_name}".lower())
        return claim or self.by_app.get(app_label, self.rest)

    def is_claimed_label(self, label: str) -> bool:
        """Say whether a cluster has claimed a model, and it is not only the rest."""
        app_label, _, model_name = label.partition(".")
        if app_label in self.by_app or label.lower() in self.by_model:
            return True
        return self.cluster_of_label(app_label, model_name) != self.rest

    def clusters_of_app(self, app_label: str) -> frozenset[ClusterName | None]:
        """Return every cluster that has, or once had, a model of the app."""
        found: set[ClusterName | None] = {
            cluster
            for label, cluster in self.by_model.items()
            if label.partition(".")[0] == app_label
        }
        if app_label in apps.app_configs:
            config = apps.get_app_config(app_label)
            found |= {
                self.cluster_of(model)
                for model in config.get_models()
                if not model._meta.proxy
            }
        if app_label in self.by_app:
            found.add(self.by_app[app_label])
        return frozenset(found or {self.rest})


@until_settings_change
def get_placement() -> Placement:
    """Return the placement that the settings say. Raises `SettingsError`."""
    return build(get_conf())


def build(conf: Conf) -> Placement:
    """Turn a checked conf into a placement. Pure."""
    clusters = conf.clusters.values()
    by_app = {a: c.name for c in clusters for a in c.apps}
    for cluster in clusters:
        if conf.control in (cluster.name, *cluster.shards):
            by_app[OWN_APP] = cluster.name
    return Placement(
        by_app=MappingProxyType(by_app),
        by_model=MappingProxyType({m: c.name for c in clusters for m in c.models}),
        rest="default" if "default" in conf.clusters else None,
    )


@until_settings_change
def models_of_table() -> Mapping[str, tuple[ModelClass, ...]]:
    """Return the models behind each table name, tables of many-to-many included."""
    found: dict[str, tuple[ModelClass, ...]] = {}
    for model in apps.get_models(include_auto_created=True):
        table = bare_table_name(model._meta.db_table)
        found[table] = (*found.get(table, ()), model)
    return MappingProxyType(found)


def bare_table_name(table: str) -> str:
    """Strip quotes and schema: `"public"."app_model"` becomes `app_model`."""
    name = table.replace("`", '"').rpartition(".")[2].strip()
    return name.strip('"') if name.startswith('"') else name


def unconstrained(one: ModelClass, other: ModelClass) -> bool:
    """Say whether two models are related, and by no database constraint at all."""
    between = [*_relations(one, other), *_relations(other, one)]
    return bool(between) and not any(has_constraint(field) for field in between)


def has_constraint(field: "Field[Any, Any]") -> bool:
    """
    Say whether the relation holds only within one database.

    A foreign key that the database enforces does, and so does a many-to-many field,
    whose link rows are joined with both sides.
    """
    return bool(field.many_to_many or getattr(field, "db_constraint", False))


def _relations(model: ModelClass, target: ModelClass) -> "list[Field[Any, Any]]":
    # A child of a multi-table parent may stand where its parent may.
    targets = {target._meta.concrete_model, *target._meta.get_parent_list()}
    found: list[Field[Any, Any]] = []
    for field in (*model._meta.fields, *model._meta.many_to_many):
        end: Any = field.remote_field.model if field.remote_field else None
        if isinstance(end, type) and end._meta.concrete_model in targets:  # type: ignore[attr-defined]
            found.append(field)
    return found
