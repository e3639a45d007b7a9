"""
Takes a socket of MariaDB and some SQL, gives rows.

Speaks the text protocol with the native password.
https://mariadb.com/kb/en/clientserver-protocol/
"""

import hashlib
import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from shoal.lab.wire import Refused, Row, Stream

LONG_PASSWORD, WITH_DATABASE, PROTOCOL_41 = 1, 8, 0x200
TRANSACTIONS, SECURE_CONNECTION = 0x2000, 0x8000
MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH = 0x10000, 0x20000, 0x80000
ABILITIES = (
    LONG_PASSWORD
    | WITH_DATABASE
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PLUGIN_AUTH
)
PLUGIN = b"mysql_native_password"
UTF8MB4, BINARY = 45, 63
OK, LOCAL_FILE, NULL, END, ERROR = 0, 0xFB, 0xFB, 0xFE, 0xFF
MORE_RESULTS = 8
QUERY = b"\x03"
BLOBS = range(249, 255)
TYPES: dict[int, Callable[[str], object]] = {
    **dict.fromkeys((1, 2, 3, 8, 9, 13), int),
    **dict.fromkeys((4, 5), float),
    **dict.fromkeys((0, 246), Decimal),
}
"""How the types of columns are read; all others stay text, or bytes."""


def query(
    path: Path, *, user: str, password: str, database: str, sql: str, timeout: float
) -> list[Row]:
    """Run one or more statements; return the rows of the last that has any."""
    with Stream(path, timeout) as stream:
        line = _Packets(stream)
        _log_in(line, user, password, database)
        line.number = 0
        line.send(QUERY + sql.encode())
        rows: list[Row] = []
        more = True
        while more:
            more, found = _result(line)
            rows = rows if found is None else found
        line.number = 0
        line.send(b"\x01")
    return rows


class _Packets:
    """The stream, cut into packets that are numbered."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.number = 0

    def send(self, body: bytes) -> None:
        header = struct.pack("<I", len(body))[:3] + bytes([self.number])
        self.number = (self.number + 1) % 256
        self._stream.send(header + body)

    def receive(self) -> bytes:
        """Return the next packet; an error that the server reports is raised."""
        body = b""
        while True:
            header = self._stream.receive(4)
            length = int.from_bytes(header[:3], "little")
            self.number = (header[3] + 1) % 256
            body += self._stream.receive(length)
            if length < 0xFFFFFF:
                break
        if body[0] == ERROR:
            (code,) = struct.unpack_from("<H", body, 1)
            text = body[3:].decode(errors="replace")
            raise Refused(f"{text[6:] if text.startswith('#') else text} ({code})")
        return body


def _log_in(line: _Packets, user: str, password: str, database: str) -> None:
    greeting = line.receive()
    start = greeting.index(b"\0", 1) + 1 + 4
    salt = greeting[start : start + 8]
    (rest,) = struct.unpack_from("B", greeting, start + 8 + 1 + 2 + 1 + 2 + 2)
    start += 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10
    salt += greeting[start : start + max(12, rest - 9)]
    proof = _proof(password, salt)
    line.send(
        struct.pack("<IIB23x", ABILITIES, 0xFFFFFF, UTF8MB4)
        + user.encode()
        + b"\0"
        + bytes([len(proof)])
        + proof
        + database.encode()
        + b"\0"
        + PLUGIN
        + b"\0"
    )
    answer = line.receive()
    if answer[0] == END:
        plugin, _, salt = answer[1:].partition(b"\0")
        if plugin != PLUGIN:
            raise Refused(f"the server asks for the plugin {plugin.decode()!r}")
        line.send(_proof(password, salt.rstrip(b"\0")))
        line.receive()


def _proof(password: str, salt: bytes) -> bytes:
    """Return what shows that one knows the password without telling it."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    twice = hashlib.sha1(once, usedforsecurity=False).digest()
    mask = hashlib.sha1(salt + twice, usedforsecurity=False).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def _result(line: _Packets) -> tuple[bool, list[Row] | None]:
    """Read one result: whether another follows, and its rows if it has any."""
    head = line.receive()
    if head[0] == OK:
        _, position = _number(head, 1)
        _, position = _number(head, position)
        return _more(head, position), None
    if head[0] == LOCAL_FILE:
        line.send(b"")
        line.receive()
        raise Refused("the lab has no file to load")
    count, _ = _number(head, 0)
    columns = [_column(line.receive()) for _ in range(count)]
    line.receive()
    rows = []
    while not _is_end(body := line.receive()):
        rows.append(_row(body, columns))
    return _more(body, 3), rows


def _is_end(body: bytes) -> bool:
    return body[0] == END and len(body) < 9


def _more(body: bytes, position: int) -> bool:
    (status,) = struct.unpack_from("<H", body, position)
    return bool(status & MORE_RESULTS)


def _column(body: bytes) -> tuple[int, int]:
    """Return the type and the character set of a column."""
    position = 0
    for _ in range(6):
        _, position = _text(body, position)
    charset, _, type_ = struct.unpack_from("<HIB", body, position + 1)
    return type_, charset


def _row(body: bytes, columns: list[tuple[int, int]]) -> Row:
    values: list[object] = []
    position = 0
    for type_, charset in columns:
        if body[position] == NULL:
            values.append(None)
            position += 1
            continue
        raw, position = _text(body, position)
        if type_ in BLOBS and charset == BINARY:
            values.append(raw)
        else:
            values.append(TYPES.get(type_, str)(raw.decode()))
    return tuple(values)


def _text(body: bytes, position: int) -> tuple[bytes, int]:
    length, position = _number(body, position)
    return body[position : position + length], position + length


def _number(body: bytes, position: int) -> tuple[int, int]:
    """Read a number of one, two, three or eight bytes; return it and what follows."""
    first = body[position]
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        return first, position + 1
    start = position + 1
    return int.from_bytes(body[start : start + size], "little"), start + size
