"""
Takes an update that sets the key of rows, and refuses it if they would have to move.

A bucketed id carries the bucket of its row for ever, so such a row cannot change it.
"""

from typing import Any

from django.db.models.sql import Query
from django.db.models.sql.constants import MULTI

from shoal.errors import KeyChangeRefused
from shoal.placement.buckets import bucket_map


class KeyChange:
    def __init__(self, update: Any) -> None:
        self._update = update
        self._layout = update.layout
        columns = {*self._layout.key, *self._layout.locators}
        self._changed = [v for v in update.query.values if v[0].column in columns]

    def require_same_shard(self) -> None:
        if self._layout.kind != "sharded" or not self._changed:
            return
        new = self._new_buckets()
        if new == self._update.where.buckets():
            return
        shards = bucket_map(self._update.cluster)
        homes = {shards.shard_of(bucket) for bucket in new}
        for old in self._old_buckets():
            moves = {shards.shard_of(old)} != homes
            if moves or (self._layout.ids == "bucketed" and {old} != new):
                raise self._refused()

    def _new_buckets(self) -> set[int]:
        found = set()
        for field, _, value in self._changed:
            scheme = self._layout.locators.get(field.column)
            if scheme is None or hasattr(value, "resolve_expression"):
                raise self._refused()
            found.add(scheme.bucket(value))
        return found

    def _old_buckets(self) -> set[int]:
        """Return the buckets of the rows that the update is about."""
        layout, query = self._layout, self._update.query
        (name,) = layout.key
        fields = query.get_meta().local_concrete_fields
        field = next(one for one in fields if one.column == name)
        select = query.chain(klass=Query)
        select.clear_ordering(force=True)
        select.clear_select_clause()
        select.add_fields([field.attname])
        compiler = select.get_compiler(self._update.connection.alias)
        rows = compiler.results_iter(compiler.execute_sql(MULTI))
        return {layout.locators[name].bucket(row[0]) for row in rows}

    def _refused(self) -> KeyChangeRefused:
        field, _, value = self._changed[0]
        shown: Any = getattr(value, "pk", value)
        return KeyChangeRefused(
            f"An update sets {self._layout.model}.{field.name} to {shown!r}, so that "
            "rows would belong to another shard.",
            hint="Delete the rows, and create them anew with the other key.",
        )
