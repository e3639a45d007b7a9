"""
Takes the columns of a key, gives the SQL expression of its bucket. Pure.

On PostgreSQL a publication must take it as a row filter: built-in immutable functions
alone, and no cast that goes through text. There is no `%` in it anywhere, so that it
may stand in a statement with parameters.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

FUNCTION = "shoal_bucket"
"""What SQLite calls; see `schemes.register`."""


def hashed(columns: Sequence[str], types: Sequence[str], vendor: str) -> str:
    """Return the first 12 bits of the MD5 digest of the key's canonical form."""
    if vendor == "sqlite":
        parts = ", ".join(columns)
        return f"{FUNCTION}('{' '.join(types)}', {parts})"
    digests = [
        _DIGESTS[vendor][type_].format(column)
        for column, type_ in zip(columns, types, strict=True)
    ]
    if vendor == "mysql":
        whole = f"MD5(CONCAT({', '.join(digests)}))"
        digest = digests[0] if len(digests) == 1 else whole
        return f"CAST(CONV(LEFT({digest}, 3), 16, 10) AS SIGNED)"
    digest = digests[0] if len(digests) == 1 else f"md5({' || '.join(digests)})"
    # From text to a number there is no other way that a row filter takes.
    data = f"decode(substr({digest}, 1, 4), 'hex')"
    return f"((get_byte({data}, 0) << 4) | (get_byte({data}, 1) >> 4))"


_DIGESTS = {
    "postgresql": {
        "int": "md5(int8send({}::bigint))",
        "bool": "md5(int8send({}::integer::bigint))",
        "text": "md5({}::text)",
        "uuid": "md5(uuid_send({}))",
    },
    "mysql": {
        # HEX of a negative number has all 16 digits of its two's complement.
        "int": "MD5(UNHEX(LPAD(HEX({}), 16, '0')))",
        "bool": "MD5(UNHEX(LPAD(HEX({}), 16, '0')))",
        "text": "MD5(CONVERT({} USING utf8mb4))",
        # char(32), or MariaDB's own type.
        "uuid": "MD5(UNHEX(REPLACE({}, '-', '')))",
    },
}


def modulo(column: str, type_: str, n: int, vendor: str) -> str:
    """Return the bucket of a whole number by its remainder; see `Modulo`."""
    key = column
    if vendor == "postgresql":
        key = f"{column}::integer::bigint" if type_ == "bool" else f"{column}::bigint"
    by = "DIV" if vendor == "mysql" else "/"
    rest = f"({key} - {key} {by} {n} * {n})"
    # SQL rounds a quotient towards zero, Python down.
    turn = f"({key} {by} {n} - CASE WHEN {rest} < 0 THEN 1 ELSE 0 END)"
    index = f"({rest} + CASE WHEN {rest} < 0 THEN {n} ELSE 0 END)"
    first = f"(({index} * 4096 + {n - 1}) {by} {n})"
    width = f"((({index} + 1) * 4096 + {n - 1}) {by} {n} - {first})"
    over = f"({turn} - {turn} {by} {width} * {width})"
    spread = f"({over} + CASE WHEN {over} < 0 THEN {width} ELSE 0 END)"
    bucket = f"({first} + {spread})"
    return f"{bucket}::integer" if vendor == "postgresql" else bucket


def ranges(
    column: str,
    type_: str,
    steps: Sequence[tuple[Any, int]],
    last: int,
    vendor: str,
) -> str:
    """Return the bucket of the range that a key lies in; see `Ranges`."""
    key = column
    if type_ == "text" and vendor == "postgresql":
        key = f'{column}::text COLLATE "C"'
    elif type_ == "text" and vendor == "mysql":
        key = f"CAST(CONVERT({column} USING utf8mb4) AS BINARY)"
    elif type_ == "text":
        key = f"{column} COLLATE BINARY"
    elif type_ == "uuid" and vendor == "mysql":
        key = f"UNHEX(REPLACE({column}, '-', ''))"
    whens = " ".join(
        f"WHEN {key} < {literal(bound, vendor)} THEN {bucket}"
        for bound, bucket in steps
    )
    return f"(CASE WHEN {column} IS NULL THEN NULL {whens} ELSE {last} END)"


def literal(value: int | str | UUID, vendor: str) -> str:
    """Write a key into SQL, without a quote or a `%` of its own."""
    if isinstance(value, int):
        return f"({value})"
    if isinstance(value, UUID):
        if vendor == "postgresql":
            return f"'{value}'::uuid"
        return f"x'{value.hex}'" if vendor == "mysql" else f"'{value.hex}'"
    if vendor == "postgresql":
        return "U&'" + "".join(f"\\+{ord(letter):06x}" for letter in value) + "'"
    data = f"x'{value.encode().hex()}'"
    return data if vendor == "mysql" else f"CAST({data} AS TEXT)"
