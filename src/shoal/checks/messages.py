"""What the checks have in common: what they yield, and which models they look at."""

from collections.abc import Iterator
from typing import TypeAlias

from django.core.checks import CheckMessage
from django.db.models import Model

Messages: TypeAlias = Iterator[CheckMessage]


def has_table(model: type[Model]) -> bool:
    """Say whether a model has a table of its own."""
    meta = model._meta
    return not (meta.proxy or meta.swapped)
