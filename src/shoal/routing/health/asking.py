"""Takes an alias, asks its server again and again on one connection of its own."""

import os
import socket
import time
from contextlib import suppress
from typing import Any

from django.db import Error

from shoal.routing.health.values import Look
from shoal.topology.positions import look
from shoal.topology.probe.asking import as_line, close, open_apart
from shoal.types import Alias

CONNECT_WITHIN = 2
"""Seconds. The shortest that libpq knows.
https://www.postgresql.org/docs/current/libpq-connect.html"""
ANSWER_WITHIN = 5
"""Seconds after which a connection is given up."""
KEEP_FOR = 10.0
"""Seconds after which a connection is opened anew: a server may be deaf to newcomers
alone, and its name may lead to another one by then."""
_LIMITS = {
    "postgresql": {
        "connect_timeout": CONNECT_WITHIN,
        "tcp_user_timeout": ANSWER_WITHIN * 1000,
    },
    "mysql": {
        "connect_timeout": CONNECT_WITHIN,
        "read_timeout": ANSWER_WITHIN,
        "write_timeout": ANSWER_WITHIN,
    },
}


class Asker:
    """
    One server, asked from one thread.

    `give_up` is for the other threads: it ends an answer that does not come.
    """

    def __init__(self, alias: Alias, of_replica: bool) -> None:
        self._of_replica = of_replica
        self._connection: Any = open_apart(alias)
        limits = _LIMITS.get(self._connection.vendor, {})
        self._connection.settings_dict["OPTIONS"].update(limits)
        # Test frameworks replace the method of that name, to forbid connections between
        # tests, and servers are not down because of it. `_connect` stands in for it.
        self._connection.ensure_connection = lambda: None  # type: ignore[method-assign]
        self._opened_at = float("-inf")
        self._is_over = False
        self._is_given_up = False

    def ask(self) -> Look:
        """
        Ask once; raise what the driver raises, and connect anew the next time.

        A connection that was lost since the last time says little of the server, which
        may be up again. So it is asked once more on a new one.
        """
        self._is_given_up = False
        was_open = self._is_open()
        try:
            return self._ask()
        except Error:
            if not was_open or self._is_given_up:
                raise
            return self._ask()

    def _is_open(self) -> bool:
        """Say whether the connection can be used again; close it if not."""
        if self._is_over or time.monotonic() - self._opened_at > KEEP_FOR:
            self.close()
        self._is_over = False
        return self._connection.connection is not None

    def _ask(self) -> Look:
        asked_at = time.monotonic()
        try:
            self._connect(asked_at)
            position, is_replica, age = look(
                self._connection, of_replica=self._of_replica
            )
        except BaseException:
            self.close()
            raise
        return Look(
            asked_at=asked_at,
            answered_at=time.monotonic(),
            position=position,
            is_replica=is_replica,
            age=age,
        )

    def _connect(self, now: float) -> None:
        if self._connection.connection is None:
            self._opened_at = now
            with self._connection.wrap_database_errors:
                self._connection.connect()

    def renew(self) -> None:
        """Ask on a new connection the next time. From any thread."""
        self._is_over = True

    def close(self) -> None:
        close(self._connection)

    def line(self, error: BaseException) -> str:
        """Return what an error says in one line, without the password."""
        return as_line(error, self._connection.settings_dict)

    def give_up(self) -> None:
        """Let whoever waits for this server get an error."""
        self._is_given_up = True
        shut(self._connection)


def shut(connection: Any) -> None:
    """Shut the socket of a connection, so that whoever waits at it gets an error."""
    raw = connection.connection
    # mysqlclient gives no descriptor, and keeps to its `read_timeout` instead.
    with suppress(Exception), socket.socket(fileno=os.dup(raw.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)
