"""
Asks servers, all at once, each on a short connection of its own; never waits for long.

Asks for what needs few privileges, and takes a refusal as "unknown".
"""

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from django.db import (
    DatabaseError,
    Error,
    NotSupportedError,
    ProgrammingError,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from shoal.conf import SHARDED_ENGINE
from shoal.topology.probe import mysql, postgresql
from shoal.topology.probe.facts import ServerFacts, Trouble
from shoal.types import Alias

CONNECT_WITHIN = 5
"""Seconds for one connection, unless the project's `OPTIONS` say otherwise."""
ANSWER_WITHIN = 10.0
"""Seconds for all answers; who has not answered by then is taken for unreachable."""


def probe(
    aliases: Iterable[Alias], *, deadline: float = ANSWER_WITHIN
) -> dict[Alias, ServerFacts]:
    """
    Ask the servers of these aliases side by side; never raises for one of them.

    A sharded alias has no server and is left out.
    """
    wanted = [a for a in dict.fromkeys(aliases) if not _is_sharded(a)]
    answers: SimpleQueue[ServerFacts] = SimpleQueue()
    for alias in wanted:
        # Daemons: a server that never answers must not keep the process from ending.
        threading.Thread(
            target=lambda alias=alias: answers.put(ask(alias)),
            name=f"shoal-probe-{alias}",
            daemon=True,
        ).start()
    found = _collect(answers, len(wanted), time.monotonic() + deadline)
    return {alias: found.get(alias) or _silent(alias, deadline) for alias in wanted}


def _is_sharded(alias: Alias) -> bool:
    return bool(connections.settings[alias]["ENGINE"] == SHARDED_ENGINE)


def _collect(
    answers: "SimpleQueue[ServerFacts]", count: int, until: float
) -> dict[Alias, ServerFacts]:
    found: dict[Alias, ServerFacts] = {}
    while len(found) < count:
        try:
            facts = answers.get(timeout=max(until - time.monotonic(), 0))
        except Empty:
            break
        found[facts.alias] = facts
    return found


def _silent(alias: Alias, deadline: float) -> ServerFacts:
    return ServerFacts(
        **_given(alias),
        trouble="silent",
        error=f"no answer within {deadline:g} s",
    )


def ask(alias: Alias) -> ServerFacts:
    """Ask one server in this thread."""
    settings = connections.settings[alias]
    given = _given(alias)
    try:
        connection = open_apart(alias)
    except Exception as error:  # Importing a backend runs anybody's code.
        return ServerFacts(**given, trouble="settings", error=as_line(error, settings))
    given["vendor"] = connection.vendor
    try:
        return ServerFacts(**given | _answers(connection))
    except Exception as error:
        return ServerFacts(
            **given,
            trouble=_trouble(connection, error),
            error=as_line(error, settings),
        )
    finally:
        close(connection)


def open_apart(alias: Alias) -> BaseDatabaseWrapper:
    """
    Return a new connection object for `alias`, not connected yet, for this thread.

    Without a pool, and with a time limit for connecting. Nobody else uses it.
    """
    settings = connections.settings[alias]
    options = dict(settings["OPTIONS"])
    options.pop("pool", None)
    backend: Any = load_backend(settings["ENGINE"])
    if backend.DatabaseWrapper.vendor in ("postgresql", "mysql"):
        options.setdefault("connect_timeout", CONNECT_WITHIN)
    connection: BaseDatabaseWrapper = backend.DatabaseWrapper(
        {**settings, "OPTIONS": options, "CONN_MAX_AGE": 0}, alias
    )
    connection._shoal_apart = True  # type: ignore[attr-defined]
    return connection


def is_apart(connection: Any) -> bool:
    """Say whether this connection is one of `open_apart`, and not the project's."""
    return getattr(connection, "_shoal_apart", False)


def close(connection: BaseDatabaseWrapper) -> None:
    """Close, whatever state the connection is in, and SQLite in memory too."""
    try:
        connection.close()
        if connection.connection is not None:
            connection.connection.close()
    except Error:
        pass
    connection.connection = None


def _answers(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    if is_missing_file(connection):
        return _of_missing_file(connection)
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        return postgresql.answers(connection)
    if connection.vendor == "mysql":
        return mysql.answers(connection)
    if connection.vendor == "sqlite":
        return _of_sqlite(connection)
    return {}


def _of_sqlite(connection: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()")
        version = cursor.fetchone()[0]
        cursor.execute("PRAGMA database_list")
        file = cursor.fetchall()[0][2]
    name = str(connection.settings_dict["NAME"])
    shared = file or (name if name.startswith("file:") else connection.alias)
    return {
        "version": version,
        "server_name": os.path.basename(file) or "in memory",
        "database": file or name,
        "is_replica": False,
        "identity": f"sqlite {os.path.realpath(file) if file else shared}",
    }


def is_missing_file(connection: Any) -> bool:
    """Say whether this is SQLite without its file, which connecting would create."""
    if hasattr(connection, "shard_connections"):
        return all(map(is_missing_file, connection.shard_connections()))
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return False
    name = str(connection.settings_dict["NAME"])
    return not (name.startswith("file:") or os.path.exists(name))


def _of_missing_file(connection: Any) -> dict[str, Any]:
    file = os.path.realpath(str(connection.settings_dict["NAME"]))
    if not os.access(os.path.dirname(file), os.W_OK | os.X_OK):
        return {
            "trouble": "unreachable",
            "error": f"unable to open database file {file!r}",
        }
    return {
        "server_name": os.path.basename(file),
        "database": file,
        "is_replica": False,
        "identity": f"sqlite {file}",
    }


def _given(alias: Alias) -> dict[str, Any]:
    settings = connections.settings[alias]
    host, port = str(settings["HOST"] or ""), str(settings["PORT"] or "")
    address = f"{host}:{port}" if host and port else host or port
    return {
        "alias": alias,
        "address": address or str(settings["NAME"]),
        "user": str(settings["USER"] or ""),
        "database": str(settings["NAME"]),
    }


_SAYS: Mapping[Trouble, tuple[str, ...]] = {
    "refused": (
        "password authentication failed",
        "no password supplied",
        "no pg_hba.conf entry",
        "authentication failed",
        "role ",
        "permission denied for database",
    ),
    "missing": ('database "',),
}
_TOO_LATE = re.compile(r"timeout expired|system error: 110\b|\(110\)")
"""What libpq, psycopg and mysqlclient say when they have waited long enough."""
_MYSQL_CODES: Mapping[int, Trouble] = {
    1045: "refused",
    1044: "refused",
    1049: "missing",
}


def _trouble(connection: BaseDatabaseWrapper, error: Exception) -> Trouble:
    """Tell by what the driver raised. libpq gives no code for a failed connection."""
    if isinstance(error, NotSupportedError):
        return "too_old"
    if isinstance(error, ProgrammingError) or not isinstance(error, Error):
        # An option that the driver does not know, a NAME that is missing.
        return "settings"
    if _TOO_LATE.search(str(error)):
        return "silent"
    if connection.vendor == "mysql" and isinstance(error, DatabaseError) and error.args:
        return _MYSQL_CODES.get(error.args[0], "unreachable")
    text = str(error)
    if connection.vendor == "postgresql" and "FATAL:" in text:
        said = text.rpartition("FATAL:")[2].strip()
        for trouble, starts in _SAYS.items():
            if said.startswith(starts):
                return trouble
    return "unreachable"


_PLACE = re.compile(r"(connection failed: )?connection to server [^\n]*? failed: ")


def as_line(error: BaseException, settings: Mapping[str, Any]) -> str:
    """
    Return what an error says in one line, the password masked should it be there.

    Without the place that libpq repeats and its guess of what may be the reason.
    """
    if len(error.args) == 2 and isinstance(error.args[0], int):  # MySQLdb
        text = str(error.args[1])
    else:
        text = str(error).strip()
    if _PLACE.match(text) and len(_PLACE.findall(text)) == 1:
        text = _PLACE.sub("", text).partition("\n")[0]
    password = str(settings.get("PASSWORD") or "")
    names = [str(settings.get(key) or "") for key in ("USER", "NAME", "HOST")]
    if password and password not in names:
        text = text.replace(password, "***")
    return " ".join(text.split()) or type(error).__name__
