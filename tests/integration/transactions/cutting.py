"""
A line to a server that is cut at one moment: once, when a client sends certain bytes.

Takes the entry of `DATABASES` that leads to the server, gives one that leads there by
the line. The bytes are read as they are, so the server must speak without TLS.
"""

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Any, Self


class Cut:
    """
    A line that is cut `"before"` the bytes arrive, or `"after"`, before the answer.

    `"never"`: the client is cut off, but the server does not learn it, and not what was
    sent, until the block ends.
    """

    def __init__(self, database: dict[str, Any], sent: bytes, *, when: str) -> None:
        self._to = (database["HOST"], int(database["PORT"]))
        self._sent, self._when = re.compile(sent), when
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._awaits_answer: set[socket.socket] = set()
        self.was_cut = False
        port = str(self._listener.getsockname()[1])
        self.database = {**database, "PORT": port, "HOST": "127.0.0.1"}

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in (self._listener, *self._open):
            _end(one)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                self._open += [client, server]
                for work in (self._ask, self._answer):
                    threading.Thread(
                        target=work, args=(client, server), daemon=True
                    ).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._sent.search(data) and not self.was_cut:
                    self.was_cut = True
                    if self._when == "after":
                        self._awaits_answer.add(server)
                        server.sendall(data)
                        continue
                    _end(client)
                    if self._when == "never":
                        return
                    break
                server.sendall(data)
        _end(server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if server in self._awaits_answer:
                    break
                client.sendall(data)
        _end(client)
        if server in self._awaits_answer:
            _end(server)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
