"""
Takes an open database, gives what is prepared there and not finished: ours alone.

Such a transaction outlives its session and the server, keeps its locks, and on
PostgreSQL keeps vacuum from removing rows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shoal.placement.control import Control
from shoal.transactions.naming import PREFIX, BranchName, parse
from shoal.types import Alias

_POSTGRESQL = f"""
WITH locks AS MATERIALIZED (
    SELECT *, transactionid::text AS xid FROM pg_locks
),
holds AS MATERIALIZED (
    SELECT own.xid, l.database, l.relation, l.mode
    FROM locks own JOIN locks l USING (virtualtransaction)
    WHERE own.locktype = 'transactionid' AND own.granted AND own.pid IS NULL
    AND l.locktype = 'relation' AND l.pid IS NULL
),
held AS (
    SELECT xid,
        array_agg(DISTINCT c.relname::text) FILTER (
            WHERE mode <> 'AccessShareLock' AND c.relkind IN ('r', 'p')
        ) AS tables,
        bool_or(mode = 'AccessExclusiveLock') AS alters
    FROM holds LEFT JOIN pg_class c ON c.oid = relation
    GROUP BY 1
),
waits AS (
    SELECT xid, count(*) AS sessions
    FROM (
        SELECT xid, pid FROM locks WHERE locktype = 'transactionid' AND NOT granted
        UNION
        SELECT holds.xid, l.pid FROM locks l JOIN holds USING (database, relation)
        WHERE l.locktype = 'relation' AND NOT l.granted
    ) each
    GROUP BY 1
)
SELECT p.gid, p.prepared, coalesce(tables, '{{}}'), coalesce(sessions, 0),
    coalesce(alters, false)
FROM pg_prepared_xacts p
LEFT JOIN held ON held.xid = p.transaction::text
LEFT JOIN waits ON waits.xid = p.transaction::text
WHERE p.database = current_database() AND starts_with(p.gid, '{PREFIX}|')
ORDER BY p.prepared, p.gid
"""
"""
The locks of a prepared transaction have no process, and the virtual number of the
session that has prepared it; it locks its own number, too. They are read once, and not
for each: there may be thousands.
https://www.postgresql.org/docs/current/view-pg-locks.html
"""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What one server has prepared, and nobody has finished."""

    alias: Alias
    name: BranchName
    since: datetime | None = None
    """Where the server tells."""
    tables: tuple[str, ...] = ()
    """Where it holds locks, if the server tells."""
    waiting: int = 0
    """How many sessions wait for rows and tables of it, if the server tells."""
    alters: bool = False
    """Whether it has changed tables themselves, if the server tells."""


def branches(there: Control) -> list[Branch]:
    """Return those of this database; MariaDB and MySQL tell of the whole server."""
    if there.vendor == "postgresql":
        found = [
            _branch(
                there,
                gid,
                since=since,
                tables=tuple(tables),
                waiting=waiting,
                alters=alters,
            )
            for gid, since, tables, waiting, alters in there.run(_POSTGRESQL)
        ]
    elif there.vendor == "mysql":
        found = [_branch(there, row[3]) for row in there.run("XA RECOVER")]
    else:
        found = []
    return [branch for branch in found if branch is not None]


def _branch(there: Control, gid: str, **more: Any) -> Branch | None:
    name = parse(_with_bar(gid))
    if name is None:
        return None
    return Branch(alias=there.connection.alias, name=name, **more)


def _with_bar(gid: str) -> str:
    """Put the bar between the two parts of a name, which `XA RECOVER` leaves out."""
    end = len(PREFIX) + 1 + 32
    return gid if gid[end : end + 1] == "|" else f"{gid[:end]}|{gid[end:]}"
