"""A column of a temporary table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a table is made of where it is not made like another."""

    name: str
    type: str
    """As SQL has it, with its collation."""
