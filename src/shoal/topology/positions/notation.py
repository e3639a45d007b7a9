"""Takes a position, gives it as its server writes it, and back. Pure."""

import re
from typing import Literal, TypeAlias

from shoal.topology.positions.mysql import mariadb_position, mysql_position
from shoal.topology.positions.postgresql import last_record
from shoal.topology.positions.values import Position, Span

Unit: TypeAlias = Literal["bytes", "transactions"]

WAL = "wal"
"""The one log of PostgreSQL."""
_LSN = re.compile(r"([0-9A-F]+)/([0-9A-F]+)")
_OF_MARIADB = re.compile(r"\d+-\d+")


def unit_of(position: Position) -> Unit:
    """Return what `Position.beyond` counts."""
    return "bytes" if WAL in position.logs else "transactions"


def written(position: Position) -> str:
    """Return an LSN, or GTIDs, in the words of the server that it is of."""
    return ",".join(_log(log, spans) for log, spans in position.logs.items())


def read(text: str) -> Position | None:
    """
    Take what a server has written; `None` if it is no position.

    An LSN does not say which system it is of, so compare only those of one.
    """
    if found := _LSN.fullmatch(text):
        high, low = (int(part, 16) for part in found.groups())
        return Position("", {WAL: ((0, last_record((high << 32) + low)),)})
    try:
        return mysql_position(text) if ":" in text else mariadb_position(text)
    except ValueError:
        return None


def _log(log: str, spans: tuple[Span, ...]) -> str:
    if log == WAL:
        place = spans[-1][1]
        return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"
    if _OF_MARIADB.fullmatch(log):
        return f"{log}-{spans[-1][1]}"
    return ":".join([log, *(_span(*span) for span in spans)])


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
