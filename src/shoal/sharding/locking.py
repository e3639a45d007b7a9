"""
`select_for_update` over several shards: rows are locked where they are.

Takes a query that locks, finds the rows of its answer first, and locks these and no
others. Then the answer is made of what was locked.
"""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q

from shoal.placement.buckets import bucket_map
from shoal.placement.layout import layout_of
from shoal.sharding.occurrences import Occurrence
from shoal.sharding.slicing import primary_keys
from shoal.types import Alias

ATTEMPTS = 20
"""How often rows are looked for that nobody else has locked."""


class Locking:
    """What a query locks, and how."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        self._connection = compiler.connection
        self._query = compiler.query
        features = self._connection.features
        # Who asks for the plan locks nothing.
        self.is_on = bool(
            self._query.select_for_update
            and features.has_select_for_update
            and not self._query.explain_info
        )

    def clause(self) -> str:
        """Return what a statement ends with that locks the rows which it reads."""
        query = self._query
        sql = self._connection.ops.for_update_sql(
            nowait=query.select_for_update_nowait,
            skip_locked=query.select_for_update_skip_locked,
            of=(),
            no_key=query.select_for_no_key_update,
        )
        return f" {sql}"

    def locks(self, one: Occurrence) -> bool:
        """Say whether the query locks the rows of this table."""
        if one.level is None or one.level.outer is not None:
            return False
        if not self._query.select_for_update_of:
            return True
        names = self._compiler.get_select_for_update_of_arguments()
        quoted = self._connection.ops.quote_name(one.alias)
        return any(quoted in (name, name.partition(".")[0]) for name in names)

    def primary_keys(self) -> list[Any] | None:
        """
        Lock the rows of the answer's own table, and return their primary keys.

        `None` where there is no such table: the query has no model, or joins others in
        a way that tells of no single row.
        """
        pk: Any = self._query.get_meta().pk
        if getattr(pk, "column", None) is None:
            return None
        locked: list[Any] = []
        tried: list[Any] = []
        for _ in range(ATTEMPTS):
            found = self._candidates(tried, taken=len(locked))
            locked += self._locked(found)
            tried += found
            if not found or not self._may_want_more(len(locked)):
                break
        return locked

    def _may_want_more(self, count: int) -> bool:
        """Say whether rows that others have locked leave room for further ones."""
        query = self._query
        if not query.select_for_update_skip_locked or query.high_mark is None:
            return False
        return bool(count < query.high_mark)

    def _candidates(self, tried: list[Any], *, taken: int) -> list[Any]:
        # What OFFSET skips is locked, too, as PostgreSQL does it; the answer is cut
        # out of what was locked.
        high = self._query.high_mark
        but = ~Q(pk__in=tried) if tried else None
        high = None if high is None else high - taken
        return list(dict.fromkeys(primary_keys(self._compiler, high, but)))

    def _locked(self, keys: Iterable[Any]) -> list[Any]:
        quote = self._connection.ops.quote_name
        meta = self._query.get_meta()
        column, table = quote(meta.pk.column), quote(meta.db_table)
        found = []
        for alias, own in self._by_shard(list(keys)).items():
            marks = ", ".join(["%s"] * len(own))
            among = f"WHERE {column} IN ({marks}){self.clause()}"
            with self._connection.shard(alias).cursor() as cursor:
                cursor.execute(f"SELECT {column} FROM {table} {among}", own)
                found += [row[0] for row in cursor.fetchall()]
        return found

    def _by_shard(self, keys: list[Any]) -> dict[Alias, list[Any]]:
        """Return the primary keys by the shard that may have them."""
        cluster = self._connection.cluster
        meta = self._query.get_meta()
        layout = layout_of(meta.model, cluster)
        if not layout.prunes(meta.pk.column, self._connection.vendor):
            return {shard.name: keys for shard in cluster.shards} if keys else {}
        shards = bucket_map(cluster)
        found: dict[Alias, list[Any]] = {}
        for key in keys:
            bucket = layout.locators[meta.pk.column].bucket(key)
            found.setdefault(shards.shard_of(bucket), []).append(key)
        return found
