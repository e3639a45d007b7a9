"""What updates and deletions share: one statement on the shards of its rows."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models.sql import Query

from shoal.placement.layout import Layout, layout_of
from shoal.placement.scopes import current_target
from shoal.sharding.counting import as_one_query
from shoal.sharding.occurrences import Levels, occurrences
from shoal.sharding.telling import Why
from shoal.sharding.where import Where
from shoal.sharding.writing.everywhere import AtOnce
from shoal.types import Alias

AT_ONCE = 500
"""Rows whose primary keys one statement names."""


class Entangled(Exception):
    """The statement looks at other rows than those that it writes."""


class Writing:
    """
    One update or deletion, from when it is compiled to when it is counted.

    `execute` is how the vendor's compiler does it, which comes back to `answer`.
    """

    def __init__(self, compiler: Any, execute: Callable[..., Any]) -> None:
        self.compiler, self._execute = compiler, execute
        self.connection = compiler.connection
        self.cluster = compiler.connection.cluster
        self.where: Where | None = None
        self.levels = Levels()

    @property
    def query(self) -> Any:
        return self.compiler.query

    @property
    def layout(self) -> Layout:
        return layout_of(self.query.get_meta().model, self.cluster)

    @property
    def primary_key(self) -> list[str]:
        pk: Any = self.query.get_meta().pk
        return [field.attname for field in getattr(pk, "fields", None) or [pk]]

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run the statement as it is, or raise `Entangled`."""
        with self.connection.answering(self):
            return self._execute(*args, **kwargs)

    def answer(self, sql: str, params: Any, *, is_chunked: bool = False) -> Any:
        found = occurrences(self.levels, sql)
        self.where = Where(self.connection, found)
        on_one = self.where.only_shard()
        is_reference = self.layout.kind == "reference"
        if is_reference and not self.where.is_anywhere:
            # Every shard has its rows, but not those that it looks at.
            raise Entangled
        if len(found) > 1 and on_one is None:
            raise Entangled
        self.before()
        shards = self._shards(on_one)
        counted = shards[0] if is_reference else None
        everywhere = AtOnce(self.connection, shards, counted=counted, why=self._why)
        if len(shards) == 1:
            return everywhere.answer(sql, params)
        with (
            as_one_query(self.connection),
            transaction.atomic(using=self.connection.alias, savepoint=False),
        ):
            return everywhere.answer(sql, params)

    def before(self) -> None:
        """Do what has to be done before the statement is sent."""

    def _why(self) -> Why:
        target = current_target(self.cluster.name)
        if self.layout.kind != "reference" and target is not None and len(target) == 1:
            return Why(because="on_shard")
        assert self.where is not None
        return self.where.why()

    def _shards(self, on_one: Alias | None) -> list[Alias]:
        """Return the shards that may have rows which this statement changes."""
        names = [shard.name for shard in self.cluster.shards]
        if self.layout.kind == "reference":
            return names
        target = current_target(self.cluster.name)
        if target is not None and len(target) == 1:
            return list(target)
        if on_one is not None:
            return [on_one]
        assert self.where is not None
        return self.where.shards() or names[:1]

    def select_primary_keys(self) -> Query:
        """Return a query for the rows that the statement is about."""
        query: Any = self.query.chain(klass=Query)
        query.select_related = False
        query.clear_ordering(force=True)
        query.clear_select_clause()
        query.extra = {}
        query.add_fields(list(self.primary_key))
        return query  # type: ignore[no-any-return]
