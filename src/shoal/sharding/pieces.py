"""One SELECT of which each shard makes a part, and what becomes of the parts."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from shoal.sharding.partials import SQL
from shoal.types import Alias


class Piece(Protocol):
    """What shards send of one SELECT to one table on the scratch connection."""

    shards: Sequence[Alias]
    types: Mapping[str, str]
    """The server's names for the types of the columns, once they are known."""
    made: str
    """What its rows are called: groups, or rows."""
    way_out: str
    """What to do where they are too many."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the parts."""

    @property
    def declared(self) -> Mapping[str, str]:
        """The types of columns that just hold those of tables, for SQLite."""

    def part(self) -> SQL:
        """Return what each shard is asked."""

    def whole(self, table: str, *, is_within: bool) -> SQL:
        """
        Return the SELECT over the table of parts; raise `NotProven`.

        `is_within`: it stands in another one, where an order says nothing.
        """
