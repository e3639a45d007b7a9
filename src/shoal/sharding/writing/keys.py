"""
Takes an update that sets the key of rows, and moves those that belong elsewhere then.

A bucketed id carries the bucket of its row for ever, so there such rows are refused.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import transaction
from django.db.models.sql import Query
from django.db.models.sql.constants import MULTI, ROW_COUNT
from django.db.models.sql.subqueries import UpdateQuery

from shoal.errors import KeyChangeRefused
from shoal.placement.buckets import bucket_map
from shoal.placement.layout import bucket_of
from shoal.placement.scopes import current_target, on_shard
from shoal.sharding.carrying import Source, carry, read_columns
from shoal.sharding.writing.statement import Entangled
from shoal.types import Alias

ALIAS = "moved"


class MustMove(Exception):
    """Rows of an update belong on another shard once they are written."""


class KeyChange:
    """What an update does to the key of its rows."""

    keys: Sequence[Any] = ()
    """The primary keys that the rows have after they were moved."""

    def __init__(self, update: Any) -> None:
        self._update = update
        self._connection = update.connection
        self._layout = update.layout
        columns = {*self._layout.key, *self._layout.locators}
        self._changed = [v for v in update.query.values if v[0].column in columns]

    def require_same_shard(self) -> None:
        """Raise `MustMove` if rows would have to, `KeyChangeRefused` if they cannot."""
        if self._layout.kind != "sharded" or not self._changed:
            return
        if any(hasattr(value, "resolve_expression") for _, _, value in self._changed):
            # Which key each row gets has to be found first.
            raise Entangled
        new = self._new_bucket({})
        if new is not None and self._update.where.buckets() == {new}:
            return
        if not any(map(self._must_move, self._keys())):
            return
        is_held = current_target(self._update.cluster.name) is not None
        is_one = len(self._layout.key) == 1
        if self._layout.ids == "bucketed" or is_held or not is_one:
            raise self._refused()
        raise MustMove

    def move(self) -> int:
        """Write the rows where they are, and carry them to where they belong then."""
        new = self._new_bucket({})
        assert new is not None
        to = bucket_map(self._update.cluster).shard_of(new)
        with transaction.atomic(using=self._connection.alias, savepoint=False):
            rows = [pk for (pk,) in self._select([self._pk.attname])]
            key = self._changed[0]
            self.keys = [key[2]] if key[0].primary_key else rows
            for alias, keys in self._by_shard(rows).items():
                self._move_from(alias, to, keys)
        return len(rows)

    def _move_from(self, alias: Alias, to: Alias, keys: Sequence[Any]) -> None:
        if alias == to:
            self._write(alias, keys)
            return
        source = self._connection.shard(alias)
        # InnoDB looks at once whether what the row points to is there: it is not.
        loose = source.vendor == "mysql"
        unchecked = source.constraint_checks_disabled() if loose else nullcontext()
        with unchecked:
            self._write(alias, keys)
            self._carry(alias, to, keys)

    def _must_move(self, key: Mapping[str, Any]) -> bool:
        """Say whether a row with this key cannot stay where it is."""
        old, new = bucket_of(self._layout, key), self._new_bucket(key)
        if self._layout.ids == "bucketed" or old == new:
            return old != new
        shard_of = bucket_map(self._update.cluster).shard_of
        return new is None or shard_of(old) != shard_of(new)

    def _new_bucket(self, key: Mapping[str, Any]) -> int | None:
        """Return the bucket after the update of a row whose key is this."""
        layout = self._layout
        new = {field.column: value for field, _, value in self._changed}
        if new.keys() <= {*layout.key}:
            values = {**key, **new}
            if len(values) < len(layout.key):
                return None
            return bucket_of(layout, values)
        if len(new) > 1:
            raise self._refused()
        ((column, value),) = new.items()
        return int(layout.locators[column].bucket(value))

    @property
    def _pk(self) -> Any:
        return self._update.query.get_meta().pk

    def _keys(self) -> Iterator[Mapping[str, Any]]:
        """Yield the key, by column, of each row that is to be written."""
        columns = self._layout.key
        fields = self._update.query.get_meta().local_concrete_fields
        names = {field.column: field.attname for field in fields}
        for row in self._select([names[column] for column in columns]):
            yield dict(zip(columns, row, strict=True))

    def _select(self, names: Sequence[str]) -> Iterator[Any]:
        """Return these fields of each row that is to be written."""
        select = self._update.query.chain(klass=Query)
        select.clear_ordering(force=True)
        select.clear_select_clause()
        select.add_fields(list(names))
        compiler = select.get_compiler(self._connection.alias)
        rows: Iterator[Any] = compiler.results_iter(compiler.execute_sql(MULTI))
        return rows

    def _by_shard(self, keys: Sequence[Any]) -> dict[Alias, list[Any]]:
        """Return the keys by the shard that has their rows, which stay locked."""
        found: dict[Alias, list[Any]] = defaultdict(list)
        model = self._update.query.get_meta().model
        for shard in self._update.cluster.shards:
            with on_shard(self._update.cluster.name, shard=shard.name):
                rows = model._base_manager.using(self._connection.alias)
                locked = rows.select_for_update().filter(pk__in=keys)
                found[shard.name] = list(locked.values_list("pk", flat=True))
        return {alias: held for alias, held in found.items() if held}

    def _write(self, alias: Alias, keys: Sequence[Any]) -> None:
        query: Any = UpdateQuery(self._update.query.get_meta().model)
        query.values = self._update.query.values
        query.is_moving = True
        query.add_filter("pk__in", keys)
        with on_shard(self._update.cluster.name, shard=alias):
            query.get_compiler(self._connection.alias).execute_sql(ROW_COUNT)

    def _carry(self, alias: Alias, to: Alias, keys: Sequence[Any]) -> None:
        source, target = (self._connection.shard(one) for one in (alias, to))
        meta = self._update.query.get_meta()
        columns = [f.column for f in meta.local_concrete_fields if not f.generated]
        key = self._changed[0]
        pks = [key[2]] if key[0].primary_key else list(keys)
        quote = source.ops.quote_name
        table, pk = quote(meta.db_table), quote(meta.pk.column)
        params = [meta.pk.get_db_prep_save(value, source) for value in pks]
        among = f"{pk} IN ({', '.join(['%s'] * len(params))})"
        listed = read_columns(source, columns, ALIAS)
        sql = f"SELECT {listed} FROM {table} {quote(ALIAS)} WHERE {among}"
        target.ensure_connection()
        rows = Source(connections=[source], sql=sql, params=params)
        carry(target, meta.db_table, columns, rows)
        with source.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {among}", params)

    def _refused(self) -> KeyChangeRefused:
        field, _, value = self._changed[0]
        shown: Any = getattr(value, "pk", value)
        return KeyChangeRefused(
            f"An update sets {self._layout.model}.{field.name} to {shown!r}, so that "
            "rows would belong to another shard.",
            hint="Delete the rows, and create them anew with the other key.",
        )
