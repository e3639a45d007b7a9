"""
Takes a socket of PostgreSQL and some SQL, gives rows.

Speaks the simple query protocol and only to a socket that trusts whoever can enter
its directory. https://www.postgresql.org/docs/current/protocol.html
"""

import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from shoal.lab.wire import Refused, Row, Stream, Unanswered

PROTOCOL_3 = 196608
STARTING_UP = "57P03"
TYPES: dict[int, Callable[[str], object]] = {
    16: lambda text: text == "t",
    **dict.fromkeys((20, 21, 23, 26), int),
    **dict.fromkeys((700, 701), float),
    1700: Decimal,
    17: lambda text: bytes.fromhex(text[2:]),
}
"""How the types of columns are read; all others stay text."""


def query(
    path: Path, *, user: str, database: str, sql: str, timeout: float
) -> list[Row]:
    """Run one or more statements; return the rows of the last that has any."""
    with Stream(path, timeout) as stream:
        _log_in(stream, user, database)
        _send(stream, b"Q", sql.encode() + b"\0")
        rows: list[Row] = []
        columns: list[int] = []
        failure = None
        while True:
            kind, body = _receive(stream)
            if kind == b"T":
                rows, columns = [], _columns(body)
            elif kind == b"D":
                rows.append(_row(body, columns))
            elif kind == b"E":
                failure = _fields(body)
            elif kind == b"G":
                _send(stream, b"f", b"the lab has no data to copy\0")
            elif kind == b"Z":
                break
        _send(stream, b"X", b"")
    if failure:
        raise Refused(_sentence(failure))
    return rows


def _log_in(stream: Stream, user: str, database: str) -> None:
    options = {
        "user": user,
        "database": database,
        "client_encoding": "UTF8",
        "application_name": "shoal.lab",
    }
    text = "".join(f"{key}\0{value}\0" for key, value in options.items()) + "\0"
    payload = struct.pack("!I", PROTOCOL_3) + text.encode()
    stream.send(struct.pack("!I", len(payload) + 4) + payload)
    while True:
        kind, body = _receive(stream)
        if kind == b"E":
            failure = _fields(body)
            if failure.get("C") == STARTING_UP:
                raise Unanswered(_sentence(failure))
            raise Refused(_sentence(failure))
        if kind == b"R" and struct.unpack("!I", body[:4])[0] != 0:
            raise Refused("the socket asks for a password")
        if kind == b"Z":
            return


def _send(stream: Stream, kind: bytes, body: bytes) -> None:
    stream.send(kind + struct.pack("!I", len(body) + 4) + body)


def _receive(stream: Stream) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", stream.receive(5))
    return kind, stream.receive(length - 4)


def _columns(body: bytes) -> list[int]:
    """Return the type of each column of a row description."""
    (count,) = struct.unpack_from("!H", body)
    types, position = [], 2
    for _ in range(count):
        position = body.index(b"\0", position) + 1
        types.append(struct.unpack_from("!IHIHIH", body, position)[2])
        position += 18
    return types


def _row(body: bytes, columns: list[int]) -> Row:
    values: list[object] = []
    position = 2
    for type_ in columns:
        (length,) = struct.unpack_from("!i", body, position)
        position += 4
        if length < 0:
            values.append(None)
            continue
        text = body[position : position + length].decode()
        values.append(TYPES.get(type_, str)(text))
        position += length
    return tuple(values)


def _fields(body: bytes) -> dict[str, str]:
    parts = body.rstrip(b"\0").split(b"\0")
    return {p[:1].decode(): p[1:].decode(errors="replace") for p in parts}


def _sentence(failure: dict[str, str]) -> str:
    return f"{failure.get('M', 'unknown error')} ({failure.get('C', '?????')})"
