"""Takes a plan and what servers say of their parts, gives lines for people. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.sharding.ordering import OrderKey
from shoal.sharding.plan import Merge, Part, Plan, Statement
from shoal.sharding.telling import SAID, Why
from shoal.types import Alias


@dataclass(frozen=True, kw_only=True)
class Own:
    """What a server says of the statement that it would be asked."""

    alias: Alias
    table: str = ""
    """The table that is gathered with it, if one is."""
    plan: Any
    """Its lines; a value of JSON if it was asked for that."""


def text(plan: Plan, found: Sequence[Own]) -> Iterator[str]:
    """Yield the plan, and then those of servers, indented under their names."""
    yield f"{_way(plan)}: {_why(plan.why)}."
    if plan.way == "gather":
        yield from _fetches(plan)
    else:
        yield from _parts(plan)
    if plan.merge is not None:
        yield from _merge(plan)
    if plan.whole is not None:
        yield f"Then runs on {plan.home}, over what was sent:"
        yield from _statement(plan.whole)
    for own in found:
        yield f"Plan of {own.alias}{f' for {own.table}' if own.table else ''}:"
        yield from _indented(own.plan)
    if plan.whole is not None and not any(_is_whole(own, plan) for own in found):
        yield (
            f"How {plan.home} does that is planned once it is there, and so not known."
        )


def _is_whole(own: Own, plan: Plan) -> bool:
    return plan.way == "gather" and not own.table


def _way(plan: Plan) -> str:
    shards = ", ".join(plan.shards) or "no shard"
    if plan.way == "one shard":
        return f"One shard, {shards}"
    if plan.way == "scatter":
        return f"Scattered to {shards}"
    if plan.way == "merge":
        return f"Scattered to {shards}, put together on {plan.home}"
    return f"Gathered from {shards} on {plan.home}"


def _why(why: Why) -> str:
    columns = f" ({', '.join(why.columns)})" if why.columns else ""
    return f"{SAID[why.because]}{columns}"


def _parts(plan: Plan) -> Iterator[str]:
    for part in plan.parts:
        if part.aliases != plan.shards:
            yield f"Asked on {', '.join(part.aliases)}:"
        else:
            yield "Asked there:" if len(plan.shards) == 1 else "Each is asked:"
        yield from _statement(part.statement)


def _fetches(plan: Plan) -> Iterator[str]:
    yield "Brought there:"
    for part in plan.parts:
        yield f"  {part.table} from {', '.join(part.aliases) or 'nowhere'}{_as(part)}"
        where = Statement(sql=part.where, params=part.statement.params)
        if part.where:
            yield from _indented(_statement(where))
        else:
            yield "    all of its rows"
        yield from (f"    of these only {joined}" for joined in part.joined)
    for table in plan.at_home:
        yield f"  {table} is there"


def _as(part: Part) -> str:
    return f": {SAID[part.because]}" if part.because else ""


def _statement(one: Statement) -> Iterator[str]:
    yield from _indented(one.sql.splitlines())
    if one.params:
        yield f"  with {', '.join(map(_shown, one.params))}"


def _shown(value: Any) -> str:
    """Return a value as Python shows it, also where a driver has wrapped a number."""
    for kind in (int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind.__repr__(value)
    return repr(value)


def _merge(plan: Plan) -> Iterator[str]:
    merge = plan.merge or Merge()
    if len(plan.shards) > 1 and merge.folds:
        yield f"The rows become one, column by column: {', '.join(merge.folds)}."
    elif plan.way == "scatter" and len(plan.shards) > 1:
        order = ", ".join(map(_order, merge.order))
        how = f"merged by {order}" if order else "put one after the other"
        yield f"The rows are {how}."
    if merge.offset or merge.limit is not None:
        first = f"from row {merge.offset + 1} on" if merge.offset else ""
        most = "" if merge.limit is None else f"{merge.limit} at most"
        yield f"Of these, {', '.join(one for one in (first, most) if one)}."


def _order(key: OrderKey) -> str:
    down = " down" if key.descending else ""
    nulls = "first" if key.nulls_first else "last"
    return f"column {key.index + 1}{down}, NULL {nulls}"


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" for line in lines)
