"""
Takes a sliced query that has to be gathered, gives the primary keys of its rows, if
shards can say which these are.

So a page of reviews with their authors, who live elsewhere, brings the authors of that
page, and not a million reviews to find out which are on it.
"""

from typing import Any

from django.db.models.sql.constants import MULTI

from shoal.errors import GatherForbidden
from shoal.placement.layout import layout_of
from shoal.sharding.counting import uncounted
from shoal.sharding.occurrences import Levels
from shoal.sharding.permitting import forbid
from shoal.sharding.reducing import MOST_VALUES


def keys_of_slice(compiler: Any, levels: Levels) -> list[Any] | None:
    """
    Return the primary key of each row to the end of the slice; `None`: nobody knows.

    The rows are those of the query without what it selects of other tables. If joins
    that it needs for that leave out some, fewer rows come than there are keys.
    """
    if not is_of_rows(compiler.query) or levels.by_hand or levels.is_fickle:
        return None
    # Over the rows of a slice alone, a window has other values.
    if any(level.windows for level in levels.all) or not _is_sharded(compiler):
        return None
    try:
        with forbid("gather"):
            return primary_keys(compiler, compiler.query.high_mark)
    except GatherForbidden:
        return None


def _is_sharded(compiler: Any) -> bool:
    model = compiler.query.get_meta().model
    return layout_of(model, compiler.connection.cluster).kind == "sharded"


def is_of_rows(query: Any) -> bool:
    """Say whether each row of the answer is one of the query's own table."""
    if query.high_mark is None or query.high_mark > MOST_VALUES or query.explain_info:
        return False
    if query.distinct or query.combinator or query.group_by is not None:
        return False
    if hasattr(query, "inner_query") or query.model is None:
        return False
    made = query.annotation_select.values()
    if any(one.contains_aggregate or one.contains_over_clause for one in made):
        return False
    return getattr(query.get_meta().pk, "column", None) is not None


def primary_keys(compiler: Any, high: int | None, but: Any = None) -> list[Any]:
    """
    Return those of the first rows, of which `but` may be a condition more.

    Joins may give a row several times.
    """
    query = compiler.query.clone()
    query.select_for_update = False
    query.select_related = False
    query.clear_select_clause()
    pk = query.get_meta().pk
    query.select = (pk.get_col(query.get_initial_alias()),)
    query.clear_limits()
    if but is not None:
        query.add_q(but)
    if high is not None:
        query.set_limits(0, high)
    with uncounted(compiler.connection):
        rows = query.get_compiler(compiler.connection.alias).execute_sql(MULTI)
        return [row[0] for chunk in rows for row in chunk]
