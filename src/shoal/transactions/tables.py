"""
Takes an alias, makes the tables there that transactions over several databases need.

Whoever first needs them makes them: a project that never commits on several databases
has none. `manage.py shoal recover --create-tables` makes them beforehand.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Iterable

from django.db import Error, IntegrityError
from django.db.models import Model

from shoal.errors import TablesMissing
from shoal.models import (
    DecisionRow,
    IdentityRow,
    MessageRow,
    ReceivedRow,
    SagaMarkRow,
    SagaRow,
    SagaStepRow,
)
from shoal.placement.control import Control, reached
from shoal.types import Alias

DECIDING: tuple[type[Model], ...] = (IdentityRow, DecisionRow)
"""Those without which a database has decided nothing."""
TABLES: tuple[type[Model], ...] = (
    *DECIDING,
    MessageRow,
    ReceivedRow,
    SagaRow,
    SagaStepRow,
    SagaMarkRow,
)
_CALLED = {"postgresql": "current_database()", "mysql": "DATABASE()", "sqlite": "''"}


def create(alias: Alias, models: tuple[type[Model], ...] = TABLES) -> str:
    """
    Create what is missing; return the database's identity.

    On SQLite inside of the project's transaction, if there is one. Raises
    `TablesMissing` where the user may not create tables.
    """
    with reached(alias) as there:
        missing = there.missing(models)
        try:
            there.create_missing(models)
            return _identity(there)
        except Error as error:
            if not missing:
                raise
            raise TablesMissing(
                f"The database {alias!r} has no table {missing[0]._meta.db_table!r}, "
                f"and its user could not create it: {error}",
                hint="Run `manage.py shoal recover --create-tables` as a user who may.",
            ) from error


def identity_in(there: Control) -> str | None:
    """Return the name of the database, `None` where a table is missing."""
    return None if there.missing(DECIDING) else known_identity(there)


def known_identity(there: Control, table: str = '"shoal_identity"') -> str | None:
    """
    Return the name of the database, `None` where it has not been given one.

    With what the database is called: a copy, made from a dump of another on the same
    server, would else take what that one has prepared for its own.
    """
    called = _CALLED.get(there.vendor, "''")
    found = there.run(f'SELECT "identity", {called} FROM {table}')
    if not found:
        return None
    return hashlib.sha256(" ".join(found[0]).encode()).hexdigest()[:8]


def _identity(there: Control) -> str:
    """Return the name of the database, which is given one if it has none."""
    if known_identity(there) is None:
        sql = 'INSERT INTO "shoal_identity" ("id", "identity") VALUES (1, %s)'
        with contextlib.suppress(IntegrityError), there.transaction():
            # Of several at once, one gives it.
            there.run(sql, secrets.token_hex(4))
    return str(known_identity(there))


def lacking(aliases: Iterable[Alias]) -> list[Alias]:
    """Return the databases that have not the tables by which commits are decided."""
    return [alias for alias in aliases if _is_lacking(alias)]


def drop_unused(aliases: Iterable[Alias]) -> None:
    """
    Drop those tables on PostgreSQL where nothing is decided.

    Only for what is not in doubt anywhere: without its identity no database is a home.
    """
    for alias in aliases:
        if _is_lacking(alias):
            continue
        with reached(alias) as there, there.transaction():
            # Whoever decides at this moment is waited for, and then its row is there.
            there.run('LOCK TABLE "shoal_decision" IN ACCESS EXCLUSIVE MODE')
            if not there.run('SELECT 1 FROM "shoal_decision"'):
                for model in DECIDING:
                    there.run(f'DROP TABLE "{model._meta.db_table}"')


def _is_lacking(alias: Alias) -> bool:
    with reached(alias) as there:
        return bool(there.missing(DECIDING))
