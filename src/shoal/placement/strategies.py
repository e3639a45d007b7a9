"""
Takes a key, gives its bucket, in Python and in SQL. Pure, but for the directory.

A bucket is one of 4096. Which one a key falls into never changes: rows lie by it.
"""

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from shoal.errors import DeclarationError
from shoal.placement import in_sql
from shoal.placement.keys import Key, KeyType

BUCKETS = 4096
WholeKey: TypeAlias = Key | tuple[Key, ...]
"""A key of several columns is a tuple."""

_md5 = partial(hashlib.md5, usedforsecurity=False)


class Strategy(ABC):
    """How a key, as its columns hold it, gives a bucket. Equal ones agree on all."""

    name: ClassVar[str]

    @abstractmethod
    def bucket(self, key: WholeKey) -> int:
        """Return the bucket of `key`."""

    def sql(self, columns: Sequence[str], types: Sequence[KeyType], vendor: str) -> str:
        """
        Return the bucket as an SQL expression, NULL where a column is NULL.

        On PostgreSQL a publication takes it as a row filter. Never contains `%`.
        """
        raise DeclarationError(
            f"A bucket by {self.name} cannot be computed in SQL.",
            hint='Use "IDS": "bucketed", so that the primary key carries the bucket.',
        )

    def accepts(self, types: Sequence[KeyType]) -> bool:
        """Say whether keys of these columns can be given a bucket."""
        return len(types) == 1


@dataclass(frozen=True)
class Bits(Strategy):
    """The last 12 bits of a bucketed id, which were put there when it was made."""

    name = "the bits of the id"

    def bucket(self, key: WholeKey) -> int:
        return key & 4095  # type: ignore[operator]

    def sql(self, columns: Sequence[str], types: Sequence[KeyType], vendor: str) -> str:
        return f"({columns[0]} & 4095)"

    def accepts(self, types: Sequence[KeyType]) -> bool:
        return tuple(types) == ("int",)


@dataclass(frozen=True)
class Hash(Strategy):
    """The first 12 bits of the MD5 digest of a form that every database can build."""

    name = "hash"

    def bucket(self, key: WholeKey) -> int:
        digest = _digest(key).digest()
        return int(digest[0] << 4 | digest[1] >> 4)

    def sql(self, columns: Sequence[str], types: Sequence[KeyType], vendor: str) -> str:
        return in_sql.hashed(columns, types, vendor)

    def accepts(self, types: Sequence[KeyType]) -> bool:
        return True


def _digest(key: WholeKey) -> Any:
    if isinstance(key, int):
        return _md5(key.to_bytes(8, "big", signed=True))
    if isinstance(key, str):
        return _md5(key.encode())
    if isinstance(key, UUID):
        return _md5(key.bytes)
    return _md5("".join(_digest(part).hexdigest() for part in key).encode())


BITS = Bits()
HASH = Hash()


def first_bucket(index: int, count: int) -> int:
    """Return where the slice `index` begins when all buckets are cut in `count`."""
    return -(-index * BUCKETS // count)


@dataclass(frozen=True)
class Modulo(Strategy):
    """
    Key `k` of `n` slices falls into slice `k % n`, and spreads over it by `k // n`.

    So a map that is cut evenly over `n` shards puts it on shard number `k % n`.
    """

    n: int
    name = "modulo"

    def __post_init__(self) -> None:
        if type(self.n) is not int or not 1 <= self.n <= BUCKETS:
            raise DeclarationError(
                f"modulo({self.n!r}) does not say how many slices there are.",
                hint=f"Give a number from 1 to {BUCKETS}, as in modulo(4).",
            )

    def bucket(self, key: WholeKey) -> int:
        turn, index = divmod(key, self.n)  # type: ignore[operator]
        first = first_bucket(index, self.n)
        width = first_bucket(index + 1, self.n) - first
        return first + turn % width

    def sql(self, columns: Sequence[str], types: Sequence[KeyType], vendor: str) -> str:
        return in_sql.modulo(columns[0], types[0], self.n, vendor)

    def accepts(self, types: Sequence[KeyType]) -> bool:
        return len(types) == 1 and types[0] in ("int", "bool")


@dataclass(frozen=True)
class Ranges(Strategy):
    """
    Keys below the first bound lie in one bucket, those from it to the next in another.

    Texts are ordered by their code points, as `str` is.
    """

    bounds: tuple[Key, ...]
    name = "ranges"

    def __post_init__(self) -> None:
        bounds = self.bounds
        kinds = {type(bound) for bound in bounds}
        if len(kinds) != 1 or not kinds <= {int, str, UUID}:
            raise DeclarationError(
                f"ranges{bounds!r} has no bounds of one type.",
                hint="Give whole numbers, texts or UUIDs, as in ranges(1000, 2000).",
            )
        grows = all(a < b for a, b in pairwise(bounds))  # type: ignore[operator]
        if not grows or len(bounds) >= BUCKETS:
            raise DeclarationError(
                f"ranges{bounds!r} has bounds that do not grow, or {BUCKETS} or more.",
                hint="Each bound is the first key of its range; sort them.",
            )

    def bucket(self, key: WholeKey) -> int:
        index = bisect_right(self.bounds, key)
        return first_bucket(index, len(self.bounds) + 1)

    def sql(self, columns: Sequence[str], types: Sequence[KeyType], vendor: str) -> str:
        count = len(self.bounds) + 1
        steps = [(b, first_bucket(i, count)) for i, b in enumerate(self.bounds)]
        last = first_bucket(count - 1, count)
        return in_sql.ranges(columns[0], types[0], steps, last, vendor)

    def accepts(self, types: Sequence[KeyType]) -> bool:
        wanted = {int: "int", str: "text", UUID: "uuid"}[type(self.bounds[0])]
        return tuple(types) == (wanted,)


@dataclass(frozen=True)
class Directory(Strategy):
    """The bucket that was written down for the key in the control database."""

    cluster: str = ""
    name = "directory"

    def bucket(self, key: WholeKey) -> int:
        # Asks a server; nobody else who needs a bucket should have to load it.
        from shoal.placement.directories import bucket_in_directory

        return bucket_in_directory(self.cluster, str(key))


@dataclass(frozen=True)
class Custom(Strategy):
    """What a function of the project says."""

    function: Callable[[Any], int]
    name = "a function"

    def bucket(self, key: WholeKey) -> int:
        found: Any = self.function(key)
        if type(found) is not int or not 0 <= found < BUCKETS:
            raise DeclarationError(
                f"{self.function!r} gave the bucket {found!r} for the key {key!r}.",
                hint=f"A bucket is a whole number from 0 to {BUCKETS - 1}.",
            )
        return found

    def accepts(self, types: Sequence[KeyType]) -> bool:
        return True


def modulo(n: int) -> Modulo:
    """Put key `k` on shard number `k % n`, for a map cut evenly over `n` shards."""
    return Modulo(n)


def ranges(*bounds: Key) -> Ranges:
    """Put keys that follow each other together; each bound begins the next range."""
    return Ranges(bounds)


def directory() -> Directory:
    """Look each key up in the control database."""
    return Directory()
