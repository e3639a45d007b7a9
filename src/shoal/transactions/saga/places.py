"""
Takes an alias, gives the way to its tables of sagas, past the project's transactions.

On PostgreSQL, MySQL and MariaDB over a connection apart, which also holds the lock of
the run. SQLite lets one connection write at a time, so there it is the project's own;
in the transaction of a `TestCase` it is that one too, so that the rows go with it.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from django.db import DatabaseError, connections
from django.db.models import Model

from shoal.conf import SHARDED_ENGINE, is_configured
from shoal.errors import SagaInTransaction, SettingsError, did_you_mean
from shoal.models import SagaMarkRow, SagaRow, SagaStepRow
from shoal.placement.control import Control, reached
from shoal.topology import get_topology
from shoal.transactions import tables
from shoal.transactions.saga.defining import known_sagas
from shoal.types import Alias

T = TypeVar("T")
TABLES: tuple[type[Model], ...] = (SagaRow, SagaStepRow, SagaMarkRow)


class Within(Control):
    """The project's own connection, in a transaction that somebody else will end."""

    @property
    def is_in_transaction(self) -> bool:
        return True


class Ledger:
    """The tables of sagas on one alias, for as long as `opened` lasts."""

    def __init__(self, alias: Alias, held: Control | None) -> None:
        self.alias = alias
        self._held = held

    @contextlib.contextmanager
    def open(self) -> Iterator[Control]:
        """
        Yield what is held, or on SQLite the project's connection for the block.

        A step may close that one.
        """
        if self._held is not None:
            yield self._held
            return
        with reached(self.alias) as there:
            yield there

    @property
    def is_apart(self) -> bool:
        """Whether what is written stays, whatever becomes of the project's work."""
        return self._held is not None and not isinstance(self._held, Within)

    def lacks_tables(self) -> bool:
        with self.open() as there:
            return bool(there.missing(TABLES))

    def create_tables(self) -> None:
        """Create them if they are missing, past a `TestCase` where it can be."""
        if self.lacks_tables():
            tables.create(self.alias)

    def asked(self, ask: Callable[[Control], T]) -> T | None:
        """Return what `ask` returns; `None` where the tables are not there."""
        # What fails in the transaction of a test ends it, on some servers.
        if not self.is_apart and self.lacks_tables():
            return None
        try:
            with self.open() as there:
                return ask(there)
        except DatabaseError:
            if self.lacks_tables():
                return None
            # Unless it is something else, they were made just now.
            with self.open() as there:
                return ask(there)


@contextlib.contextmanager
def opened(alias: Alias) -> Iterator[Ledger]:
    connection: Any = connections[alias]
    if is_of_test(connection):
        yield Ledger(alias, Within(connection))
    elif connection.vendor == "sqlite":
        yield Ledger(alias, None)
    else:
        with reached(alias) as there:
            yield Ledger(alias, there)


def is_of_test(connection: Any) -> bool:
    """Say whether the only transaction that is open here is a `TestCase`'s."""
    return bool(connection.in_atomic_block) and _has_only_a_tests(connection)


def _has_only_a_tests(connection: Any) -> bool:
    return all(
        getattr(block, "_from_testcase", False) for block in connection.atomic_blocks
    )


def refuse_transaction(what: str) -> None:
    """Raise `SagaInTransaction` if the project has one open, anywhere."""
    for connection in connections.all(initialized_only=True):
        own: Any = connection
        is_manual = own.connection is not None and not own.get_autocommit()
        if own.in_atomic_block or is_manual:
            if own.in_atomic_block and _has_only_a_tests(own):
                continue
            raise SagaInTransaction(
                f"{what} cannot run inside a transaction, and one is open on "
                f"{own.alias!r}: what a saga does stays when that is rolled back.",
                hint="Wait for the commit: "
                f"transaction.on_commit(..., using={own.alias!r}).",
            )


def alias_for(using: Alias | None, saga: str) -> Alias:
    """Return where the runs of a saga are recorded, or raise `SettingsError`."""
    alias = using if using is not None else default_alias()
    if alias is None:
        raise SettingsError(
            f"Nothing says where the runs of the saga {saga!r} are recorded: the "
            "project has no control database and no 'default'.",
            hint=f'Name an alias: saga({saga!r}, using="...").',
        )
    require_plain(alias, f"The saga {saga!r}")
    return alias


def require_plain(alias: Alias, what: str) -> None:
    """Raise `SettingsError` unless this is one database that takes writes."""
    settings = connections.settings
    if alias not in settings:
        raise SettingsError(
            f"{what} is to be on {alias!r}, which is not in DATABASES.",
            hint=did_you_mean(alias, list(settings)),
        )
    if settings[alias]["ENGINE"] == SHARDED_ENGINE:
        raise SettingsError(
            f"{what} is to be on {alias!r}, which is a sharded alias.",
            hint="Name an alias that is one database.",
        )
    primary = get_topology().primary_of_replica(alias)
    if primary is not None:
        raise SettingsError(
            f"{what} is to be on {alias!r}, which is a replica.",
            hint=f"Name its primary, {primary!r}.",
        )


def default_alias() -> Alias | None:
    """Return where sagas are recorded that do not say."""
    control = get_topology().control
    if control is not None:
        return control
    default = connections.settings["default"]
    is_plain = is_configured(default) and default["ENGINE"] != SHARDED_ENGINE
    return "default" if is_plain else None


def known_aliases() -> list[Alias]:
    """Return every alias that sagas are recorded on, the default one first."""
    default = default_alias()
    named = [saga.alias for saga in known_sagas().values()]
    return list(dict.fromkeys([*([default] if default else []), *named]))
