"""Takes the occurrences of tables in a statement, gives each table once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from shoal.errors import QueryRefused
from shoal.placement.layout import Layout
from shoal.sharding.occurrences import Occurrence
from shoal.types import Alias


@dataclass(kw_only=True)
class Table:
    """One table that a statement names, wherever it occurs in it."""

    name: str
    model: type[Model]
    layout: Layout | None
    """`None` where the model lives on another cluster."""
    occurrences: list[Occurrence]
    sources: Sequence[Alias] = ()
    """The aliases that have rows of it which may be needed."""
    fetched: dict[Alias, int] = field(default_factory=dict)
    """How many rows have come from each."""
    condition: str = ""
    """With which they were fetched."""

    @property
    def rows(self) -> int:
        return sum(self.fetched.values())

    @property
    def columns(self) -> list[str]:
        return [f.column for f in self.model._meta.local_concrete_fields if f.column]

    @property
    def primary_key(self) -> list[str]:
        if self.layout is not None and self.layout.kind == "local":
            # Each shard counts for itself.
            return []
        pk: Any = self.model._meta.pk
        fields = getattr(pk, "fields", None) or [pk]
        return [f.column for f in fields]


def tables(
    found: Sequence[Occurrence], layouts: Mapping[Occurrence, Layout | None]
) -> list[Table]:
    """Put the occurrences of each table together."""
    made: dict[str, Table] = {}
    for one in found:
        if one.model is None:
            raise QueryRefused(
                f"A query over several shards names the table {one.table!r}, of which "
                "no model is known.",
                hint="Ask one shard, inside on_shard(), or make a model of it.",
            )
        table = made.get(one.table)
        if table is None:
            table = made[one.table] = Table(
                name=one.table, model=one.model, layout=layouts[one], occurrences=[]
            )
        table.occurrences.append(one)
    return list(made.values())
