"""
Takes a compiled query, asks every shard for its part of the answer, merges the parts.

Only where that is proven to be the answer of one database: `scattering` says where.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models.functions import Coalesce

from shoal.sharding.colocation import is_apart, is_one_row
from shoal.sharding.folding import Fold, fold, fold_of
from shoal.sharding.naming import naming
from shoal.sharding.occurrences import Levels, Noted
from shoal.sharding.ordering import OrderKeys, Row, merged, sorted_rows
from shoal.sharding.plan import Merge, Statement
from shoal.sharding.plans import Apart
from shoal.sharding.rows import Fetched
from shoal.sharding.side_by_side import Asked, ask
from shoal.types import Alias

AT_ONCE = 500
"""Rows that are fetched at once from each shard, where an answer is streamed."""


def scattering(compiler: Any, levels: Levels, where: Any) -> "Scattering | None":
    """
    Return how the shards answer a query together; `None` if nothing proves that.

    Each row of the tables is on one shard with all that it is joined with. Groups,
    windows and equal rows are of one shard if a column that gives the bucket is a part
    of what makes them so. Otherwise an aggregate is made of theirs, if it is one that
    can be.
    """
    query = compiler.query
    tops = [level for level in levels.all if level.outer is None]
    base = tops[0] if len(tops) == 1 else None
    if base is None or query.select_for_update or query.explain_info:
        return None
    if levels.by_hand or (levels.is_fickle and not levels.only_shuffles(query)):
        return None
    folds: list[Fold] = []
    inner_query = getattr(query, "inner_query", None)
    if inner_query is not None or is_one_row(query):
        folds = _folds(compiler)
        if not folds or query.is_sliced:
            return None
        if inner_query is not None:
            inner = [level for level in levels.all if level.query is inner_query]
            base = inner[0] if len(inner) == 1 and not inner_query.is_sliced else None
    if base is None or base.query.distinct_fields:
        return None
    found = where.anchors(base)
    if not found or not is_apart(base, where, found):
        return None
    # Where no row can be needed, any shard says what is made of none.
    home = compiler.connection.cluster.home.name
    shards = where.shards_of(found[0]) or [home]
    return Scattering(compiler, shards, folds)


def _folds(compiler: Any) -> list[Fold]:
    query, vendor = compiler.query, compiler.connection.vendor
    found = [fold_of(one, vendor) for one in query.annotation_select.values()]
    is_more = query.default_cols or query.select or query.extra_select
    is_more = is_more and getattr(query, "inner_query", None) is None
    folds = [one for one in found if one is not None]
    return [] if is_more or query.distinct or len(folds) < len(found) else folds


class Scattering:
    """One query whose shards work apart."""

    def __init__(
        self,
        compiler: Any,
        shards: Sequence[Alias],
        folds: Sequence[Fold],
        plan: Apart | None = None,
    ) -> None:
        self._compiler = compiler
        self.shards = shards
        self._folds = folds
        """What makes one row of theirs; empty: their rows are the answer's."""
        self.plan = plan
        """What holds of each query of this shape, if that is all it takes."""

    def planned(self, sql: str, params: Any) -> tuple[Statement, Merge] | None:
        """Say what each shard would be asked, and how the rows would be merged."""
        if self._folds:
            folds = tuple(one.__name__.strip("_") for one in self._folds)
            return Statement(sql=sql, params=tuple(params)), Merge(folds=folds)
        keys, part, its_params = self._part()
        if not keys.is_alike:
            return None
        query = self._compiler.query
        limit = None if query.high_mark is None else query.high_mark - query.low_mark
        merge = Merge(order=tuple(keys.keys), offset=query.low_mark, limit=limit)
        return Statement(sql=part, params=tuple(its_params)), merge

    def answer(self, sql: str, params: Any, *, is_chunked: bool) -> "Answer | None":
        """Return the rows; `None` if Python would not order them as the server does."""
        if self._folds:
            asked = self._ask(sql, params, is_chunked=False)
            rows = _all_rows(asked)
            if not self._are_by_value():
                self.plan = Apart(sql, OrderKeys(""), self._folds)
            return Answer(asked, iter([fold(rows, self._folds)]))
        if self.plan is None:
            keys, part, its_params = self._part()
            if not keys.is_alike:
                return None
            if tuple(its_params) == tuple(params) and not keys.are_by_value:
                self.plan = Apart(part, keys, ())
        else:
            keys, part, its_params = self.plan.keys, self.plan.sql, params
        asked = self._ask(part, its_params, is_chunked=is_chunked)
        return Answer(asked, self._merged(asked, keys, is_chunked=is_chunked))

    def _are_by_value(self) -> bool:
        """Say whether a value decided how to fold: nothing is added to a zero."""
        made = self._compiler.query.annotation_select.values()
        return any(isinstance(one, Coalesce) for one in made)

    def _part(self) -> tuple[OrderKeys, str, Any]:
        """
        Return what each shard is asked: the query, and what its rows are ordered by.

        A slice begins at its first row there.
        """
        connection = self._compiler.connection
        query = self._compiler.query.clone()
        if query.low_mark:
            query.low_mark = 0
        with connection.answering(Noted(Levels())):
            compiler = query.get_compiler(using=connection.alias)
            keys = compiler.order_keys = OrderKeys(connection.vendor)
            return keys, *compiler.as_sql()

    def _merged(
        self, asked: Sequence[Asked], keys: OrderKeys, *, is_chunked: bool
    ) -> Iterator[Row]:
        query = self._compiler.query
        rows: Iterator[Row]
        if is_chunked:
            rows = merged([_streamed(one) for one in asked], keys.keys)
        else:
            rows = iter(sorted_rows(_all_rows(asked), keys.keys))
        rows = itertools.islice(rows, query.low_mark, query.high_mark)
        return rows if keys.width is None else (row[: keys.width] for row in rows)

    def _ask(self, sql: str, params: Any, *, is_chunked: bool) -> list[Asked]:
        asked: list[Asked] = []
        try:
            for alias in self.shards:
                connection = self._compiler.connection.shard_to_read(alias)
                open_ = connection.chunked_cursor if is_chunked else connection.cursor
                with naming(alias):
                    cursor = open_()
                asked.append(Asked(alias=alias, connection=connection, cursor=cursor))
            ask(asked, sql, params)
        except BaseException:
            with contextlib.suppress(Exception):
                _close(asked)
            raise
        return asked


def _streamed(one: Asked) -> Iterator[Row]:
    while True:
        with naming(one.alias):
            rows = one.cursor.fetchmany(AT_ONCE)
        if not rows:
            return
        yield from rows


def _all_rows(asked: Sequence[Asked]) -> list[Row]:
    rows: list[Row] = []
    try:
        for one in asked:
            with naming(one.alias):
                rows += one.cursor.fetchall()
    except BaseException:
        with contextlib.suppress(Exception):
            _close(asked)
        raise
    return rows


def _close(asked: Sequence[Asked]) -> None:
    """Close every cursor, also where one of them cannot be closed."""
    with contextlib.ExitStack() as stack:
        for one in asked:
            stack.callback(one.cursor.close)


class Answer(Fetched):
    """The merged rows, and the cursors that they come from."""

    rowcount = -1

    def __init__(self, asked: Sequence[Asked], rows: Iterator[Row]) -> None:
        self._asked, self._rows = asked, rows
        self.description = asked[0].cursor.description

    def close(self) -> None:
        self._rows = iter(())
        _close(self._asked)
