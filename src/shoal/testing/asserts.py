"""Assertions on where queries went."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connections

from shoal.errors import did_you_mean
from shoal.testing.databases import every_database
from shoal.types import Alias


@contextlib.contextmanager
def assertQueriesOn(alias: Alias, n: int) -> Iterator[None]:
    """
    Fail unless the block sends exactly `n` queries to `alias` from this thread.

    The failure lists the queries of the block by alias.
    """
    known = every_database()
    if alias not in known:
        raise ValueError(f"No alias is named {alias!r}. {did_you_mean(alias, known)}")
    sent: dict[Alias, list[str]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        for watched in {id(connections[a].execute_wrappers): a for a in known}.values():
            stack.enter_context(connections[watched].execute_wrapper(_recorder(sent)))
        yield
    if len(sent[alias]) != n:
        raise AssertionError(
            f"{len(sent[alias])} queries were sent to {alias!r}, expected {n}."
            + "".join(_listed(name, queries) for name, queries in sorted(sent.items()))
        )


def _recorder(sent: dict[Alias, list[str]]) -> Callable[..., Any]:
    def record(
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        sent[context["connection"].alias].append(str(sql))
        return execute(sql, params, many, context)

    return record


def _listed(alias: Alias, queries: list[str]) -> str:
    lines = "".join(f"\n  {query}" for query in queries) or "\n  nothing"
    return f"\n{alias}:{lines}"
