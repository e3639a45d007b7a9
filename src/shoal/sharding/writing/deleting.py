"""
Takes a deletion, sends it to the shards whose rows it may delete.

One that looks at other tables is first told, by a query of its own, which rows go.
"""

from typing import Any

from django.db import transaction
from django.db.models.sql.constants import MULTI
from django.db.models.sql.subqueries import DeleteQuery

from shoal.sharding.counting import as_one_query
from shoal.sharding.writing.cascading import beyond_a_shard, follow
from shoal.sharding.writing.statement import Entangled, Writing


class Deleting(Writing):
    """One deletion, with what the database of all rows would delete along."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        fields = beyond_a_shard(self.query.get_meta(), self.cluster)
        if not fields:
            return self._run(*args, **kwargs)
        with transaction.atomic(self.connection.alias, savepoint=False):
            follow(self, fields)
            return self._run(*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        with as_one_query(self.connection):
            try:
                return self.execute(*args, **kwargs)
            except Entangled:
                with transaction.atomic(self.connection.alias, savepoint=False):
                    return self._delete_found()

    def _delete_found(self) -> int:
        compiler = self.select_primary_keys().get_compiler(self.connection.alias)
        rows = compiler.results_iter(compiler.execute_sql(MULTI))
        keys = [row[0] if len(row) == 1 else tuple(row) for row in rows]
        query: Any = DeleteQuery(self.query.model)
        return int(query.delete_batch(keys, self.connection.alias))
