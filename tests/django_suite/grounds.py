"""Takes a query that is gathered, gives in a few words what shards could not do apart.

The first that is found: it may not be all that stands in the way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shoal.sharding.ways import Apart, Merged

SHARDED = ("key", "several keys", "no key", "reference")


def ground(compiler: Any, levels: Any, where: Any, passed: Sequence[type[Any]]) -> str:
    """Return the words; `passed` are the ways that had a plan till its last step."""
    return next(_grounds(compiler, levels, where, passed), "something else")


def _grounds(
    compiler: Any, levels: Any, where: Any, passed: Sequence[type[Any]]
) -> Iterator[str]:
    query = compiler.query
    if query.select_for_update:
        yield "rows are locked"
    if levels.by_hand:
        yield "SQL by hand"
    if levels.is_fickle:
        yield "an expression that two servers may value differently"
    if any(where.reason(one) not in SHARDED for one in where._found):
        yield "a table that is not sharded"
    if query.combinator:
        yield "a union, intersection or difference of what is gathered"
    inner = getattr(query, "inner_query", None) or query
    base = next(level for level in levels.all if level.query is inner)
    if not where.anchors(base):
        yield from _meetings(levels, base)
    yield from _shapes(query, inner, base, passed)


def _meetings(levels: Any, base: Any) -> Iterator[str]:
    """Say where rows of several shards meet."""
    if len(base.aliases) > 1:
        yield "a join on other columns than the key"
    if any(level.aliases for level in levels.all if level is not base):
        yield "a subquery on other columns than the key"


def _shapes(
    query: Any, inner: Any, base: Any, passed: Sequence[type[Any]]
) -> Iterator[str]:
    """Say what is made of rows that could be brought apart."""
    if Merged in passed:
        yield "a sum or average of a type that only the server knows"
    if base.windows or inner.where.contains_over_clause:
        yield "a window over rows of several shards"
    if any(one.contains_aggregate for one in query.annotation_select.values()):
        yield "an aggregate that is not put together of parts"
    if inner.group_by is not None or inner.distinct:
        yield "groups or equal rows that are not put together of parts"
    if Apart in passed:
        yield "an order that only the server knows"
