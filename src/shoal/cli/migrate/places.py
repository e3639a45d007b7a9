"""Takes a migration and an alias, gives whether it has anything to do there."""

from typing import Any

from django.db import router
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import ModelOperation

from shoal.types import Alias


def acts_on(migration: Migration, alias: Alias) -> bool:
    """
    Say whether the routers let any operation of `migration` run on `alias`.

    Elsewhere the migration is recorded, as Django does it, and changes nothing.
    """
    return any(
        _acts(operation, migration.app_label, alias)
        for operation in migration.operations
    )


def _acts(operation: Operation, app_label: str, alias: Alias) -> bool:
    inner = getattr(operation, "database_operations", None)
    if inner is not None:
        return any(_acts(one, app_label, alias) for one in inner)
    hints: dict[str, Any] = getattr(operation, "hints", None) or {}
    model = getattr(operation, "model_name", None)
    if model is None and isinstance(operation, ModelOperation):
        model = operation.name
    if model is not None:
        hints = {"model_name": model.lower()}
    return router.allow_migrate(alias, app_label, **hints)
