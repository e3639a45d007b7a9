"""Takes objects to insert, gives the bucket of each: computed once, by their keys."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shoal.errors import KeyTypeError
from shoal.placement.layout import Layout, bucket_of
from shoal.sharding.writing.values import Values
from shoal.types import Bucket

_PLAIN = frozenset({int, str})
"""Types of keys of which two are equal only if they are the same."""


class Bucketing:
    """The buckets of the rows of one insert."""

    def __init__(self, layout: Layout, values: Values) -> None:
        self._layout, self._values = layout, values
        self._known: dict[int, Bucket] = {}
        """By the `id()` of an object."""

    def of(self, objs: Sequence[Any]) -> list[Bucket]:
        """Return the bucket of each object's row. Raises what `bucket_of` does."""
        known, layout = self._known, self._layout
        unknown = [obj for obj in objs if id(obj) not in known]
        if layout.locators.keys() <= {*layout.key}:
            self.put(unknown, self.of_keys(unknown))
        else:
            rows = self._rows(unknown, (*layout.key, *layout.locators))
            self.put(unknown, [self._checked(row) for row in rows])
        return [known[id(obj)] for obj in objs]

    def of_keys(self, objs: Sequence[Any]) -> list[Bucket]:
        """Return the buckets of their keys, to which other columns will be made fit."""
        key = self._layout.key
        if len(key) > 1:
            return [self._checked(row) for row in self._rows(objs, key)]
        (column,) = key
        known: dict[Any, Bucket] = {}
        buckets = []
        for value in self._values.of(objs, column):
            is_plain = type(value) in _PLAIN
            bucket = known.get(value) if is_plain else None
            if bucket is None:
                bucket = self._checked({column: value})
                if is_plain:
                    known[value] = bucket
            buckets.append(bucket)
        return buckets

    def put(self, objs: Sequence[Any], buckets: Sequence[Bucket]) -> None:
        """Remember what is known."""
        self._known.update(zip(map(id, objs), buckets, strict=True))

    def _rows(
        self, objs: Sequence[Any], columns: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        values = [self._values.of(objs, column) for column in columns]
        for row in zip(*values, strict=True):
            yield dict(zip(columns, row, strict=True))

    def _checked(self, given: Mapping[str, Any]) -> Bucket:
        try:
            return bucket_of(self._layout, given)
        except KeyTypeError:
            # Django's own error for what is no value of the field comes first.
            for column, value in given.items():
                self._values.require_possible(column, value)
            raise
