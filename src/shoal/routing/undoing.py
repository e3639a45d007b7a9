"""
Takes a connection to MariaDB or MySQL, notes there that the server has rolled back.

By what Django translates every error of a driver with: no execute wrapper is asked
about `callproc()` and `nextset()`, and one of the project's may keep an error to
itself.
"""

from types import TracebackType
from typing import Any

from django.db import OperationalError
from django.db.utils import DatabaseErrorWrapper

from shoal.routing.losses import UNDONE, undid


class UndoingHeard(DatabaseErrorWrapper):
    """What a connection's `wrap_database_errors` is."""

    wrapper: Any
    """The connection."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        except OperationalError as translated:
            if undid(translated) and self.wrapper.commit_on_exit:
                # The next statement begins another: a unit of work would commit a part.
                self.wrapper.commit_on_exit = UNDONE
            raise


def hear_of_undoing(connection: Any) -> None:
    if connection.vendor == "mysql":
        connection.wrap_database_errors = UndoingHeard(connection)
