"""
Takes a value of a model's column, gives the bucket that its row lies in.

A scheme is a strategy with the columns that it reads. Equal schemes put equal values
into one bucket, whatever the models are: that is what a join or a foreign key within
one shard rests on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from shoal.errors import KeyTypeError
from shoal.placement.in_sql import FUNCTION
from shoal.placement.keys import Key, KeyColumn, KeyType
from shoal.placement.strategies import (
    BITS,
    BUCKETS,
    HASH,
    Bits,
    Custom,
    Directory,
    Hash,
    Modulo,
    Ranges,
    Strategy,
    first_bucket,
)

__all__ = [
    "BITS",
    "BUCKETS",
    "HASH",
    "Bits",
    "Custom",
    "Directory",
    "Hash",
    "Modulo",
    "Ranges",
    "Scheme",
    "Strategy",
    "first_bucket",
    "register",
]


@dataclass(frozen=True)
class Scheme:
    """How the values of one column, or of several together, give a bucket."""

    strategy: Strategy
    types: tuple[KeyType, ...] = field(init=False)
    columns: tuple[KeyColumn, ...] = field(compare=False, repr=False)
    _only: KeyColumn | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "types", tuple(column.type for column in self.columns))
        set_(self, "_only", self.columns[0] if len(self.columns) == 1 else None)

    def bucket(self, value: Any) -> int:
        """
        Return the bucket of `value`, as Python users write it.

        A key of several columns is a sequence of their values. Raises `MissingKey` for
        `None` and `KeyTypeError` for what the column cannot hold.
        """
        if self._only is not None:
            return self.strategy.bucket(self._only.read(value))
        return self.strategy.bucket(self._read_all(value))

    def sql(self, column_sql: str | Sequence[str], vendor: str) -> str:
        """
        Return the same bucket as an SQL expression over the quoted columns.

        NULL where one of them is NULL. Raises `DeclarationError` for a strategy that
        SQL cannot follow: `directory()` and functions.
        """
        columns = [column_sql] if isinstance(column_sql, str) else list(column_sql)
        return self.strategy.sql(columns, self.types, vendor)

    def is_exact(self, vendor: str) -> bool:
        """Say whether values that the database calls equal are in one bucket."""
        return all(column.is_exact(vendor) for column in self.columns)

    def _read_all(self, values: Any) -> tuple[Key, ...]:
        labels = ", ".join(column.label for column in self.columns)
        if not isinstance(values, list | tuple) or len(values) != len(self.columns):
            raise KeyTypeError(
                f"The key ({labels}) is {values!r}.",
                hint=f"Give a tuple of {len(self.columns)} values.",
            )
        pairs = zip(self.columns, values, strict=True)
        return tuple(column.read(value) for column, value in pairs)


def register(connection: BaseDatabaseWrapper) -> None:
    """Give a new SQLite connection the function that `Scheme.sql` calls there."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(
            FUNCTION, -1, _bucket_on_sqlite, deterministic=True
        )


def _bucket_on_sqlite(types: str, *values: Any) -> int | None:
    if None in values:
        return None
    parts = tuple(
        UUID(value) if type_ == "uuid" else value
        for type_, value in zip(types.split(), values, strict=True)
    )
    return HASH.bucket(parts[0] if len(parts) == 1 else parts)
