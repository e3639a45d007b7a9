"""
Takes a unit of work and its home, gives the name of each server's prepared transaction.

Whoever finds one tells by the name alone where it is written whether it commits.
"""

import re
from dataclasses import dataclass

from shoal.types import Alias

PREFIX = "shoal"
LONGEST_HOME = 48
"""
Bytes. MariaDB and MySQL take 64 of the second part of a name, `bqual`; PostgreSQL 199
of the whole.
https://mariadb.com/docs/server/reference/sql-statements/transactions/xa-transactions
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""
_GID = re.compile(rf"{PREFIX}\|([0-9a-f]{{32}})\|(\d+)\|([0-9a-f]{{8}})\|(\S+)", re.A)


@dataclass(frozen=True, kw_only=True)
class BranchName:
    """Names what one server has prepared for one unit of work."""

    unit: str
    """32 hexadecimal digits."""
    number: int
    """Which of the unit's servers."""
    identity: str
    """Names the home database: see `IdentityRow`."""
    home: str
    """The alias of the home database, as `shortened`."""

    @property
    def gtrid(self) -> str:
        return f"{PREFIX}|{self.unit}"

    @property
    def bqual(self) -> str:
        return f"{self.number}|{self.identity}|{self.home}"

    @property
    def gid(self) -> str:
        return f"{self.gtrid}|{self.bqual}"


def parse(gid: str) -> BranchName | None:
    """Return what the name says, or `None` for a transaction of somebody else's."""
    found = _GID.fullmatch(gid)
    if found is None:
        return None
    unit, number, identity, home = found.groups()
    return BranchName(unit=unit, number=int(number), identity=identity, home=home)


def shortened(alias: Alias) -> str:
    """Return the alias as it is in a name: no longer, and nothing to be quoted."""
    return re.sub(r"[^\w.-]", "_", alias, flags=re.A)[:LONGEST_HOME]
