"""Takes rows that are there or to come, gives them as a driver's cursor does."""

import itertools
from collections.abc import Iterator
from typing import Any


class Fetched:
    """What has rows in `_rows`, each of which is fetched once."""

    lastrowid: Any = None
    _rows: Iterator[Any]

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return list(itertools.islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)
