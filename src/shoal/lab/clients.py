"""
Takes a socket of a server and some SQL, gives rows, through the server's usual driver.

The drivers are imported when first needed: a lab of PostgreSQL needs no mysqlclient.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.errors import LabError

Row = tuple[object, ...]


@dataclass(frozen=True)
class Driver:
    module: str
    extra: str
    """What of Shoal installs it."""


POSTGRES_DRIVER = Driver("psycopg", "lab")
MARIADB_DRIVER = Driver("MySQLdb", "mysql")


class Unanswered(Exception):
    """Nobody listens there, or not yet, or no more."""


class Refused(Exception):
    """The server answered with an error."""


def ask_postgres(
    path: Path, *, user: str, database: str, sql: str, timeout: float
) -> list[Row]:
    """Run one or more statements; return the rows of the last that has any."""
    psycopg = check_driver(POSTGRES_DRIVER)
    try:
        connection = psycopg.connect(
            host=str(path.parent),
            port=path.name.rpartition(".")[2],
            user=user,
            dbname=database,
            autocommit=True,
            application_name="shoal.lab",
            connect_timeout=max(2, round(timeout)),
            options=f"-c statement_timeout={round(timeout * 1000)}",
        )
    except psycopg.OperationalError as error:
        raise Unanswered(_sentence(error)) from error
    with connection:
        try:
            return _last_rows(connection.execute(sql))
        except psycopg.Error as error:
            if connection.broken:
                raise Unanswered(_sentence(error)) from error
            said = f"{error.diag.message_primary} ({error.sqlstate})"
            raise Refused(said) from error


def ask_mariadb(
    path: Path, *, user: str, password: str, database: str, sql: str, timeout: float
) -> list[Row]:
    """Run one or more statements; return the rows of the last that has any."""
    driver = check_driver(MARIADB_DRIVER)
    seconds = max(1, round(timeout))
    try:
        connection = driver.connect(
            unix_socket=str(path),
            user=user,
            password=password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=seconds,
            read_timeout=seconds,
        )
    except driver.OperationalError as error:
        raise Unanswered(_sentence(error)) from error
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return _last_rows(cursor)
    except driver.Error as error:
        code, *text = error.args
        said = f"{' '.join(map(str, text))} ({code})"
        raise (Unanswered if code in _LOST else Refused)(said) from error
    finally:
        connection.close()


_LOST = (2006, 2013)
"""The client's codes for a connection that broke.
https://mariadb.com/kb/en/mariadb-error-code-reference/"""


def _last_rows(cursor: Any) -> list[Row]:
    rows: list[Row] = []
    more: bool | None = True
    while more:
        if cursor.description:
            rows = list(cursor.fetchall())
        more = cursor.nextset()
    return rows


def _sentence(error: Exception) -> str:
    return " ".join(str(part) for part in error.args).strip().rstrip(".")


def check_driver(driver: Driver) -> Any:
    """Return the driver's module, or raise `LabError` where it is not installed."""
    try:
        return importlib.import_module(driver.module)
    except ImportError as error:
        raise LabError(
            f"The lab needs {driver.module} to ask its servers, but cannot import it: "
            f"{error}.",
            hint=f"pip install 'django-shoal[{driver.extra}]'",
        ) from error
