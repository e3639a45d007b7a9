"""
Takes what was decided about a statement, gives a record of it to the log
`shoal.sharding`.

Nothing is made up for a log that nobody reads: the level is DEBUG.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from shoal.types import Alias, ClusterName

logger = logging.getLogger("shoal.sharding")

Reason: TypeAlias = Literal[
    "key",
    "primary key",
    "several keys",
    "no key",
    "reference",
    "home",
    "another cluster",
    "on_shard",
    "every shard",
    "no table",
]
"""Why these shards. docs/reference/sharding.md has them."""

SAID: Mapping[Reason, str] = MappingProxyType(
    {
        "key": "the key is given",
        "primary key": "the primary key is given, which carries its bucket",
        "several keys": "several keys are given",
        "no key": "no key is given",
        "reference": "every shard has the rows of reference tables",
        "home": "the rows are at home",
        "another cluster": "it is on another cluster",
        "on_shard": "on_shard() says so",
        "every shard": "each shard has rows of its own",
        "no table": "no table is named",
    }
)
"""The same for people."""


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why a statement goes to the shards that it goes to."""

    because: Reason
    columns: tuple[str, ...] = ()
    """As `table.column`: what the reason speaks of."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a gathered query needed of one table."""

    table: str
    because: Reason
    rows: Mapping[Alias, int] = field(default_factory=dict)
    """How many came from each alias."""
    where: str = ""
    """The condition with which they were fetched, as SQL; empty: the whole table."""


def asked(cluster: ClusterName, shard: Alias, why: Callable[[], Why]) -> None:
    """Tell that one shard answers a query."""
    if logger.isEnabledFor(logging.DEBUG):
        _tell("query on one shard", "query_on_one_shard", cluster, (shard,), why())


def scattered(
    cluster: ClusterName, shards: Sequence[Alias], why: Callable[[], Why]
) -> None:
    """Tell that shards have each answered a part of a query."""
    if logger.isEnabledFor(logging.DEBUG):
        _tell("query scattered", "query_scattered", cluster, tuple(shards), why())


def gathered(
    cluster: ClusterName,
    home: Alias,
    why: Callable[[], Why],
    tables: Sequence[Gathered],
) -> None:
    """Tell that the rows of a query were brought together."""
    if logger.isEnabledFor(logging.DEBUG):
        found = (alias for table in tables for alias in table.rows)
        more = {
            "home": home,
            "tables": tuple(tables),
            "rows": sum(sum(table.rows.values()) for table in tables),
        }
        shards = tuple(dict.fromkeys(found))
        _tell("query gathered", "query_gathered", cluster, shards, why(), **more)


def written(
    cluster: ClusterName, shards: Sequence[Alias], why: Callable[[], Why]
) -> None:
    """Tell where a statement writes."""
    if logger.isEnabledFor(logging.DEBUG):
        _tell("statement writes", "statement_writes", cluster, tuple(shards), why())


def _tell(
    message: str,
    event: str,
    cluster: ClusterName,
    shards: tuple[Alias, ...],
    why: Why,
    **more: object,
) -> None:
    extra = {
        "event": event,
        "cluster": cluster,
        "shards": shards,
        "because": why.because,
        "columns": why.columns,
        **more,
    }
    logger.debug(message, extra=extra)
