"""What one statement needs of one table, and where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: str
    """As SQL has it, with its collation."""
    is_generated: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one table on one server."""

    connection: Any
    """Django's connection to read from, inside of its transaction."""
    sql: str
    params: Sequence[Any]
