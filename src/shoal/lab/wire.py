"""
Takes what the two clients of the lab have in common: how a server may fail them.

The lab asks its servers through clients of its own, so that it needs no driver and
no process per question.
"""

import socket
from pathlib import Path

from shoal.errors import LabError

Row = tuple[object, ...]
LONGEST_SOCKET = 107


class Unanswered(Exception):
    """Nobody listens there, or not yet."""


class Refused(Exception):
    """The server answered with an error."""


class Stream:
    """A connection to a server's socket, read in exact portions."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Unanswered(str(error)) from error
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Unanswered(str(error)) from error

    def receive(self, size: int) -> bytes:
        try:
            data = self._reader.read(size)
        except OSError as error:
            raise Unanswered(str(error) or "timed out") from error
        if len(data) < size:
            raise Unanswered("the server closed the connection")
        return data


def check_socket(path: Path) -> None:
    """Raise `LabError` where a socket's path is longer than the system takes."""
    if len(bytes(path)) > LONGEST_SOCKET:
        raise LabError(
            f"The socket {str(path)!r} has a path of {len(bytes(path))} bytes.",
            hint=f"The system takes {LONGEST_SOCKET}. Set TMPDIR to a shorter "
            "directory, or give the server a shorter name.",
        )
