"""
Old rows on PostgreSQL: in a schema of their own, which mirrors search first.

Everything that the connection finds without naming a schema becomes a table there: a
view or a materialized view with the rows it shows, a partitioned table with those of
its partitions, a foreign table too. Tables of extensions stay as they are.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, Error

from shoal.errors import LaggingError
from shoal.testing.copies.sending import send

SCHEMA = "shoal_lagging"

# LIKE ... INCLUDING INDEXES: a GROUP BY may rely on the primary key.
_MAKE = f"""
DO $copy$
DECLARE
    one record;
BEGIN
    DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
    CREATE SCHEMA {SCHEMA};
    FOR one IN
        SELECT relation.oid::regclass AS source, relname AS name,
               CASE WHEN relkind = 'r' THEN 'ONLY' ELSE '' END AS which
        FROM pg_catalog.pg_class AS relation
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
          AND pg_catalog.pg_table_is_visible(relation.oid)
          AND relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_depend
              WHERE classid = 'pg_class'::regclass AND objid = relation.oid
                AND deptype = 'e')
    LOOP
        EXECUTE format('CREATE TABLE {SCHEMA}.%I (LIKE %s INCLUDING INDEXES)',
                       one.name, one.source);
        EXECUTE format('INSERT INTO {SCHEMA}.%I SELECT * FROM %s %s',
                       one.name, one.which, one.source);
    END LOOP;
    FOR one IN
        SELECT child.relname AS child, parent.relname AS parent
        FROM pg_catalog.pg_inherits
        JOIN pg_catalog.pg_class AS child ON child.oid = inhrelid
        JOIN pg_catalog.pg_class AS parent ON parent.oid = inhparent
        WHERE child.relkind = 'r' AND parent.relkind = 'r'
          AND pg_catalog.pg_table_is_visible(child.oid)
          AND pg_catalog.pg_table_is_visible(parent.oid)
        ORDER BY child.relname, inhseqno
    LOOP
        EXECUTE format('ALTER TABLE {SCHEMA}.%I INHERIT {SCHEMA}.%I',
                       one.child, one.parent);
    END LOOP;
END
$copy$
"""
_DROP = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
# Read-only, as a replica is: the server itself refuses a function that writes.
_ENTER = f"""
SELECT set_config('{SCHEMA}.path', current_setting('search_path'), true),
       set_config('search_path', concat_ws(', ', '{SCHEMA}',
                  nullif(current_setting('search_path'), '')), true);
SET LOCAL transaction_read_only = on
"""
_LEAVE = f"SELECT set_config('search_path', current_setting('{SCHEMA}.path'), true)"
_AS_SAVEPOINT = (
    f"SAVEPOINT {SCHEMA}; {_ENTER}",
    f"{_LEAVE}; RELEASE SAVEPOINT {SCHEMA}",
    f"ROLLBACK TO SAVEPOINT {SCHEMA}; RELEASE SAVEPOINT {SCHEMA}",
)
_AS_TRANSACTION = (f"BEGIN; {_ENTER}", "COMMIT", "ROLLBACK")
_IDLE, _BROKEN = 0, 3
"""https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS"""


class PostgreSQLCopy:
    """In a transaction it is gone with a rollback; else it is dropped."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def make(self) -> None:
        try:
            send(self._connection, _MAKE)
        except DatabaseError as error:
            raise self._explained(error) from error

    def drop(self) -> None:
        raw = self._connection.connection
        if raw is None or raw.closed or _status(raw) == _BROKEN:
            # The next copy drops this one, if no rollback does.
            return
        send(self._connection, _DROP)

    @contextlib.contextmanager
    def showing(self, cursor: Any) -> Iterator[None]:
        """An error leaves the transaction of the test as it was."""
        connection = self._connection
        idle = connection.autocommit and _status(connection.connection) == _IDLE
        begin, end, undo = _AS_TRANSACTION if idle else _AS_SAVEPOINT
        send(connection, begin)
        try:
            yield
        except BaseException:
            # Where the connection is lost, the error that tells so is the first one.
            with contextlib.suppress(Error):
                send(connection, undo)
            raise
        send(connection, end)

    def _explained(self, error: DatabaseError) -> LaggingError:
        settings = self._connection.settings_dict
        line = str(error).partition("\n")[0]
        return LaggingError(
            f"The rows of {self._connection.alias!r} could not be copied to the schema "
            f"{SCHEMA!r}: {line}.",
            hint=f'GRANT CREATE ON DATABASE "{settings["NAME"]}" TO '
            f'"{settings["USER"]}" if it lacks that. With very many tables raise '
            "max_locks_per_transaction.",
        )


def _status(raw: Any) -> int:
    return int(raw.info.transaction_status)
