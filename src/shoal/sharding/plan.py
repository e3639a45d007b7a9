"""
What is going to be done for a query: who is asked what, why, and how the parts become
one answer. Values only: whoever has one has asked nobody for rows.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from shoal.sharding.ordering import OrderKey
from shoal.sharding.telling import Reason, Why
from shoal.types import Alias, ClusterName

Way: TypeAlias = Literal["one shard", "scatter", "merge", "gather"]
"""The ways of answering, the cheapest first."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """SQL, with the values for its placeholders."""

    sql: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One statement, and who is asked it."""

    aliases: tuple[Alias, ...]
    statement: Statement
    table: str = ""
    """The table that is gathered with it, if one is."""
    because: Reason | None = None
    """Why these aliases have rows of that table."""
    where: str = ""
    """The condition of its rows, as SQL; empty: the whole table."""
    joined: tuple[str, ...] = ()
    """What leaves fewer of them once rows of other tables are there, as text."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """How parts become one answer."""

    order: tuple[OrderKey, ...] = ()
    folds: tuple[str, ...] = ()
    """What makes one value of each column's, where the answer is one row."""
    offset: int = 0
    limit: int | None = None
    """Rows of the answer; `None`: all."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one query is answered."""

    cluster: ClusterName
    way: Way
    shards: tuple[Alias, ...]
    why: Why
    parts: tuple[Part, ...] = ()
    merge: Merge | None = None
    home: Alias = ""
    """Where rows are brought to, if they are."""
    whole: Statement | None = None
    """What runs there."""
    at_home: tuple[str, ...] = field(default=())
    """Tables that are not brought there, since they are there."""

    def as_json(self) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "way": self.way,
            "shards": list(self.shards),
            "because": self.why.because,
            "columns": list(self.why.columns),
            "parts": [_part(part) for part in self.parts],
            "merge": None if self.merge is None else _merge(self.merge),
            "home": self.home or None,
            "whole": None if self.whole is None else _statement(self.whole),
            "at_home": list(self.at_home),
        }


def _statement(one: Statement) -> dict[str, Any]:
    return {"sql": one.sql, "params": [_plain(value) for value in one.params]}


def _plain(value: Any) -> Any:
    is_plain = value is None or isinstance(value, str | int | float | bool)
    return value if is_plain else str(value)


def _part(part: Part) -> dict[str, Any]:
    return {
        "aliases": list(part.aliases),
        **_statement(part.statement),
        "table": part.table or None,
        "because": part.because,
        "where": part.where,
        "joined": list(part.joined),
    }


def _merge(merge: Merge) -> dict[str, Any]:
    order = [
        {
            "column": key.index + 1,
            "descending": key.descending,
            "nulls_first": key.nulls_first,
        }
        for key in merge.order
    ]
    return {
        "order": order,
        "folds": list(merge.folds),
        "offset": merge.offset,
        "limit": merge.limit,
    }
