"""
Takes a query to gather, gives what is fetched for it from where. Asks nobody for rows,
so what joins leave out is named, and not known.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shoal.sharding.carrying import read_columns
from shoal.sharding.narrowing import ALIAS, Narrowing, is_main
from shoal.sharding.plan import Part, Statement
from shoal.sharding.reducing import MOST_VALUES, edges, next_table, own_conditions
from shoal.sharding.slicing import is_of_rows
from shoal.sharding.tables import Table


def fetches(compiler: Any, where: Any, waiting: Sequence[Table]) -> Iterator[Part]:
    """Yield each table in the order in which they are brought."""
    narrowing = Narrowing(compiler, None)
    waiting, there = list(waiting), list[str]()
    while waiting:
        table = next_table(waiting, there)
        waiting.remove(table)
        condition, params = narrowing.where(table, ())
        yield Part(
            aliases=tuple(table.sources),
            statement=_statement(compiler.connection, table, condition, params),
            table=table.name,
            because=where.reason(table.occurrences[0]),
            where=condition.removeprefix(" WHERE "),
            joined=tuple(dict.fromkeys(_joined(table, there)))
            + _sliced(compiler.query, table),
        )
        there.append(table.name)


def _sliced(query: Any, table: Table) -> tuple[str, ...]:
    is_sliced = is_of_rows(query) and any(map(is_main, table.occurrences))
    return ("those of the slice, if shards know which these are",) * is_sliced


def _statement(
    connection: Any, table: Table, condition: str, params: Sequence[Any]
) -> Statement:
    quote = connection.ops.quote_name
    listed = read_columns(connection, table.columns, ALIAS)
    limit = connection.cluster.max_gather_rows + 1
    sql = (
        f"SELECT {listed} FROM {quote(table.name)} {quote(ALIAS)}{condition} "
        f"LIMIT {limit}"
    )
    return Statement(sql=sql, params=tuple(params))


def _joined(table: Table, there: Sequence[str]) -> Iterator[str]:
    found = [
        [edge for edge in edges(one) if edge.table in there]
        for one in table.occurrences
    ]
    known = map(own_conditions, table.occurrences)
    if not all(a or b for a, b in zip(found, known, strict=True)):
        # Where it occurs once more, any row may matter.
        return
    for among in found:
        for edge in among:
            yield (
                f"those whose {edge.column} is in {edge.table}.{edge.other_column}, if "
                f"that has no more than {MOST_VALUES} values"
            )
