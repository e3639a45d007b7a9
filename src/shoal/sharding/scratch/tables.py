"""A column of a temporary table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: str
    """As SQL has it, with its collation."""
    is_generated: bool = False
