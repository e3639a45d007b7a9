"""Takes what the log `shoal.sharding` tells, gives it in words, beside its query.

settings.LOGGING hangs `Told` on that log. Whoever is asking right now finds there which
shards a statement was sent to, and why.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

listening: ContextVar[list[Any] | None] = ContextVar("listening", default=None)

ONE_SHARD = {
    "key": "One shard: {columns} is the key, and says where the rows are",
    "primary key": "One shard: {columns} carries its place",
    "on_shard": "One shard: the code names it",
}
GATHERED = {
    "no key": "Brought together: no key says where the rows are",
    "several keys": "Brought together from the shards of several keys",
    "another cluster": "Brought together, to join what lives on other servers",
}
SCATTERED = {
    "no key": "Each shard answered its part, and the parts were merged: "
    "no key says where the rows are",
    "several keys": "Each shard answered its part, and the parts were merged: "
    "the rows of several keys are on {shards}",
}
WRITES = {
    "key": "Written on one shard: {columns} is the key",
    "primary key": "Written on one shard: {columns} carries its place",
    "no key": "Written on {shards}: no key says where the rows are",
    "several keys": "Written on the shards of several keys: {shards}",
}
WORDS = {
    "query_on_one_shard": ONE_SHARD,
    "query_gathered": GATHERED,
    "query_scattered": SCATTERED,
    "statement_writes": WRITES,
}


class Told(logging.Handler):
    """Keeps the records for whoever listens, and for nobody else."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = listening.get()
        if heard is not None:
            heard.append(record)


@contextmanager
def heard() -> Iterator[list[Any]]:
    """Give what is told of the statement that the block executes."""
    records: list[Any] = []
    token = listening.set(records)
    try:
        yield records
    finally:
        listening.reset(token)


def in_words(record: Any) -> str:
    """Say which shards, why, and of a gathered query how many rows of each table."""
    told = WORDS[record.event].get(record.because, "On {shards}")
    columns = " and ".join(name.partition(".")[2] for name in record.columns)
    words = told.format(columns=columns or "it", shards=listed(record.shards))
    if record.event != "query_gathered":
        return f"{words}."
    rows = [counted(sum(t.rows.values()), t.table) for t in record.tables]
    return f"{words}. {listed(rows)}."


def counted(rows: int, table: str) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'} of {table}"


def listed(names: Sequence[str]) -> str:
    *all_but_last, last = names or ("nothing",)
    return f"{', '.join(all_but_last)} and {last}" if all_but_last else last
