"""Hands out Shoal's own compilers, and flushes every shard."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import Model
from django.utils.encoding import force_str

from shoal.backends.sharded.compilers import compiler_over, noted_by
from shoal.placement import sequences
from shoal.placement.layout import layout_of
from shoal.placement.models import OWN_APP
from shoal.sharding.writing.ids import Ids

if TYPE_CHECKING:
    _Base = BaseDatabaseOperations
else:
    _Base = object


class ShardedOperations(_Base):
    """Goes before the vendor's `DatabaseOperations`."""

    connection: Any
    _restart: Sequence[str] = ()
    """Tables whose ids begin anew after the flush that is being prepared."""

    def compiler(self, compiler_name: str) -> Any:
        kind: Any = super().compiler(compiler_name)
        return compiler_over(kind, is_noting=noted_by(self.connection) is not None)

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> Any:
        """Return the statement as it would be on any of the shards."""
        if self.connection.vendor == "mysql":
            # The driver's cursor knows what it has sent; rows that were gathered don't.
            executed = getattr(cursor, "_executed", None)
            return sql if executed is None else force_str(executed, errors="replace")
        if not hasattr(self, "compose_sql"):
            return super().last_executed_query(cursor, sql, params)
        try:
            return self.compose_sql(sql, params)
        except DatabaseError:
            return sql

    def sql_flush(
        self,
        style: Any,
        tables: Sequence[str],
        *,
        reset_sequences: bool = False,
        allow_cascade: bool = False,
    ) -> list[str]:
        # The bucket map outlives the rows.
        tables = [table for table in tables if not table.startswith(f"{OWN_APP}_")]
        if reset_sequences:
            self._restart = tables
        # SQLite asks the server which tables refer to these.
        return self.connection.home.ops.sql_flush(  # type: ignore[no-any-return]
            style,
            tables,
            reset_sequences=reset_sequences,
            allow_cascade=allow_cascade,
        )

    def execute_sql_flush(self, sql_list: Any) -> None:
        for shard in self.connection.cluster.shards:
            self.connection.shard(shard.name).ops.execute_sql_flush(sql_list)
        for table in self._restart:
            sequences.restart(self.connection.cluster, table)
        self._restart = ()

    def sequence_reset_sql(self, style: Any, model_list: Any) -> list[str]:
        """Let the next ids be above all that are there; there is no SQL to run."""
        for model in model_list:
            self._raise(model)
            for field in model._meta.many_to_many:
                if field.remote_field.through._meta.auto_created:
                    self._raise(field.remote_field.through)
        return []

    def _raise(self, model: type[Model]) -> None:
        layout = layout_of(model, self.connection.cluster)
        if layout.allots_ids:
            Ids(self.connection, model, layout).follow()
