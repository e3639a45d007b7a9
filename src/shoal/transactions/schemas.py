"""
Takes SQL for a connection of the project's, names the schema of Shoal's tables in it.

On PostgreSQL that is where a new connection sees them: whoever recovers, delivers or
resumes comes over one. The project's may have another `search_path`, a tenant's say.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.placement.control import Control

_NAME = re.compile(r'"?\b(shoal_[a-z]+(?:_[a-z]+)*)\b"?')
_ODD = re.compile("[%;]")
_FOUND = """
SELECT relname::text, quote_ident(nspname) || '.' || quote_ident(relname)
FROM unnest(%s::text[]) AS named
JOIN pg_class c ON c.oid = to_regclass(named)
JOIN pg_namespace n ON n.oid = c.relnamespace
"""
_UNCHANGED = """
WHERE current_setting('search_path') = (
    SELECT reset_val FROM pg_settings WHERE name = 'search_path'
)
"""
"""https://www.postgresql.org/docs/current/view-pg-settings.html"""


def qualified(connection: Any, sql: str) -> str:
    """
    Return the statement with the schema of each table that is there.

    But for schemas whose names would be taken for something else: a placeholder by the
    drivers, the end of a statement here.
    """
    if connection.vendor != "postgresql":
        return sql
    found = _known(connection, set(_NAME.findall(sql)))
    known = {table: name for table, name in found.items() if not _ODD.search(name)}
    return _NAME.sub(lambda found: known.get(found[1], found[0]), sql)


def are_there(connection: Any, *tables: str) -> bool:
    """Say whether a new connection to PostgreSQL would see these tables."""
    return _known(connection, set(tables)).keys() >= {*tables}


def _known(connection: Any, wanted: set[str]) -> dict[str, str]:
    """
    Return each table's name with its schema, asked once for each driver's connection.

    A statement that fails would break the transaction, so nothing here does.
    """
    seen = vars(connection).get("_shoal_schemas")
    if seen is None or seen[0] is not connection.connection:
        seen = connection._shoal_schemas = (connection.connection, {})
    known: dict[str, str] = seen[1]
    if not wanted <= known.keys():
        known |= _look(connection, wanted - known.keys())
    return known


def _look(connection: Any, wanted: set[str]) -> dict[str, str]:
    from shoal.placement.control import Control, reached

    found = _ask(Control(connection), _FOUND + _UNCHANGED, wanted)
    if len(found) < len(wanted):
        # They are missing, or cannot be seen from here.
        with reached(connection.alias) as there:
            found = _ask(there, _FOUND, wanted)
    return found


def _ask(there: "Control", sql: str, wanted: set[str]) -> dict[str, str]:
    rows: Any = there.run(sql, sorted(wanted))
    return dict(rows)
