"""
Stops a write before it is sent to the wrong server. Takes a statement, or raises.

Hangs on every connection of an alias, so raw SQL, `using=` and other people's code
count like the ORM.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.conf import until_settings_change
from shoal.errors import CrossClusterQuery, ReplicaWrite, SettingsError, WrongCluster
from shoal.placement import get_placement, models_of_table
from shoal.placement.models import OWN_APP, bare_table_name
from shoal.routing import writes
from shoal.routing.context import current, current_unit
from shoal.routing.copies import watch_copies
from shoal.routing.losses import lost
from shoal.routing.members import unavailable
from shoal.routing.observers import observer
from shoal.routing.statements import may_write, written_tables
from shoal.routing.undoing import hear_of_undoing
from shoal.topology import Cluster, get_topology
from shoal.topology.probe.asking import is_apart
from shoal.types import Alias, ClusterName

_UNDEFINED_TABLE = "42P01"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_NO_SUCH_TABLE = 1146
"""https://mariadb.com/kb/en/mariadb-error-code-reference/"""
_TEMPORARY = re.compile(r'"?(?:pg_temp|temp)"?\s*\.', re.IGNORECASE)
_WORD = re.compile(r"\w+")
Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]


def watch(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Put the guard on a new connection. Receives `connection_created`."""
    if is_apart(connection):
        return
    hear_of_undoing(connection)
    try:
        is_guarded = bool(get_topology().clusters)
    except SettingsError:
        # `manage.py check` says what is wrong, and has to connect for that.
        is_guarded = False
    if not is_guarded:
        # A unit of work may be on its alias all the same.
        watch_copies(connection, begun_first)
        return
    if guard not in connection.execute_wrappers:
        # Not appended: a wrapper of `connection.execute_wrapper()` that is open right
        # now takes itself off with pop().
        connection.execute_wrappers.insert(0, guard)
    watch_copies(connection, around)


def guard(
    execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Run the statement unless it writes where it must not."""
    connection = context["connection"]
    text = _text(sql, context)
    tables = written_tables(text)
    if tables:
        _check(connection.alias, tables)
    may = _may_write(connection.alias, text)
    try:
        result = execute(sql, params, many, context)
    except BaseException as error:
        if may and not connection.in_atomic_block:
            # A procedure, or executemany() on MySQL, may have committed before. And
            # what was lost, or not waited for, may be no more than the answer.
            _wrote(connection)
        if lost(error):
            _lose(error, connection, tables)
        elif isinstance(error, ProgrammingError | OperationalError):
            _explain(error, connection.alias)
        raise
    if tables and context["cursor"].rowcount > 0:
        # A unit of work over several servers need not ask this one, then.
        connection.shoal_has_written = True
    if may:
        _wrote(connection)
    return result


@contextlib.contextmanager
def begun_first(alias: Alias, raw: Any, statement: Any) -> Iterator[None]:
    """Ask what `execute()` asks: a block that waits for a statement begins there."""
    connection = connections[alias]
    if connection.connection is raw:
        connection.validate_no_broken_transaction()
    yield


@contextlib.contextmanager
def around(alias: Alias, raw: Any, statement: Any) -> Iterator[None]:
    """Do what `guard` does for statements of which Django's wrappers hear nothing."""
    connection = connections[alias]
    text = _text(statement, {"connection": connection})
    tables = written_tables(text)
    if tables:
        _check(alias, tables)
    may = _may_write(alias, text)
    try:
        with begun_first(alias, raw, statement):
            yield
    finally:
        if may:
            _wrote(connection)


def _may_write(alias: Alias, text: str) -> bool:
    """Say whether a statement may write, where anybody has to know; note if it may."""
    topology = get_topology()
    if not topology.has_replicas or topology.primary_of_replica(alias) is not None:
        return False
    if not may_write(text):
        return False
    current_unit().has_sent_writes = True
    return True


def _wrote(connection: Any) -> None:
    edition = _primary_of(connection.alias)
    if edition is not None:
        writes.happened(connection, edition)


def _primary_of(alias: Alias) -> Cluster | None:
    """Return the edition whose primary this is, if it has replicas that may lag."""
    member = get_topology().by_alias.get(alias)
    if member is None or alias != member[1].primary or not member[1].replicas:
        return None
    return member[1]


def _lose(error: BaseException, connection: Any, tables: tuple[str, ...]) -> None:
    """Note that a server is gone; say so, if this was a write."""
    observer(current()).suspect(connection.alias, str(error).partition("\n")[0])
    edition = _primary_of(connection.alias)
    if edition is not None and tables:
        why = str(error).partition("\n")[0]
        raise unavailable(edition, why, is_cut=True) from error


def _text(sql: Any, context: dict[str, Any]) -> str:
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    # psycopg's sql.SQL, sql.Composed
    return str(sql.as_string(context["connection"].connection))


def _check(alias: Alias, tables: tuple[str, ...]) -> None:
    """Raise `WriteRefused` if these tables must not be written here."""
    topology = get_topology()
    primary = topology.primary_of_replica(alias)
    if primary is not None:
        raise ReplicaWrite(
            f"A write on table {bare_table_name(tables[0])!r} was refused: the alias "
            f"{alias!r} is a replica of {primary!r}.",
            hint=f"Write through the router, or with using({primary!r}).",
        )
    member = topology.by_alias.get(alias)
    for table in tables:
        _refuse_stranger(alias, member[0].name if member else None, table)


def _refuse_stranger(alias: Alias, cluster: ClusterName | None, table: str) -> None:
    if _TEMPORARY.match(table):
        return
    table = bare_table_name(table)
    homes = _homes_of_tables().get(table)
    if not homes or cluster in homes.values() or current().unguarded.get(alias):
        return
    if cluster is None and not any(map(get_placement().is_claimed_label, homes)):
        # An alias of which Shoal knows nothing, and models that nobody has claimed.
        return
    label, home = next(iter(homes.items()))
    raise WrongCluster(
        f"A write on table {table!r} was refused on the alias {alias!r}: the model "
        f"{label} lives on the cluster {home!r}.",
        hint=f"Leave out using({alias!r}) and let the router choose, write with "
        f"using({home!r}), or, to write here all the same, do it inside "
        f"`with shoal.routing.unguarded({alias!r})`.",
    )


def _explain(error: Exception, alias: Alias) -> None:
    """Say where the model lives whose table the server has not found."""
    missing = _missing_table(error)
    if missing is None:
        return
    member = get_topology().by_alias.get(alias)
    homes_of_tables = _homes_of_tables()
    for table in _WORD.findall(missing):
        homes = homes_of_tables.get(table, {})
        if homes and not (member and member[0].name in homes.values()):
            label, home = next(iter(homes.items()))
            raise CrossClusterQuery(
                f"A query on the alias {alias!r} names the table {table!r}, which is "
                f"not there: the model {label} lives on the cluster {home!r}.",
                hint="One server cannot join the tables of two. Fetch the rows apart: "
                "prefetch_related() in place of select_related(), or a filter by "
                "keys that were fetched first.",
            ) from error


def _missing_table(error: Exception) -> str | None:
    """Return what the server says of a table that is not there, else `None`."""
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or (error.args or (None,))[0]
    if code in (_UNDEFINED_TABLE, _NO_SUCH_TABLE):
        # What follows is an excerpt of the statement.
        return str(error).partition("\n")[0]
    return code if str(code).startswith("no such table: ") else None


@until_settings_change
def _homes_of_tables() -> Mapping[str, Mapping[str, ClusterName]]:
    """Return the cluster of each model behind a table, where all of them have one."""
    placement = get_placement()
    homes: dict[str, dict[str, ClusterName]] = {}
    for table, models in models_of_table().items():
        if any(model._meta.app_label == OWN_APP for model in models):
            # Shoal's own, which are wherever they are needed.
            continue
        found = {model._meta.label: placement.cluster_of(model) for model in models}
        told = {label: name for label, name in found.items() if name is not None}
        homes[table] = told if len(told) == len(found) else {}
    return homes
