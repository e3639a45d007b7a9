"""Models made inside a test. They live on `feedback`, here a cluster of two shards."""

from typing import Any

from django.db import models

from shoal.topology import Cluster

SHARDS = (Cluster(name="catalog"), Cluster(name="pages"))


def made(name: str, /, *bases: type, meta: Any = (), **body: Any) -> Any:
    """Make a model class; to be called within `isolate_apps`."""
    options = {"app_label": "feedback", **dict(meta)}
    body = {"__module__": __name__, "Meta": type("Meta", (), options), **body}
    return type(name, bases or (models.Model,), body)


def link(model: Any, **options: Any) -> "models.ForeignKey[Any, Any]":
    options = {"related_name": "+", **options}
    return models.ForeignKey(model, models.CASCADE, **options)


def cluster(**options: Any) -> Cluster:
    return Cluster(**{"name": "feedback", "shards": SHARDS, **options})
