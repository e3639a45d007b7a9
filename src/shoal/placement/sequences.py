"""
Takes a table of a sharded cluster, gives numbers that nobody else gets, for its ids.

The control database hands them out in blocks, so most calls ask no server.
"""

import os
import threading
from collections.abc import Callable

from django.db import DatabaseError

from shoal.conf import on_settings_change
from shoal.placement.control import (
    Control,
    Place,
    goes_apart,
    place,
    reached_tables,
)
from shoal.topology import Cluster
from shoal.types import ClusterName

BLOCK = 1000
"""
How many numbers a process takes at once.

Asking costs a new connection, some milliseconds; a thousand inserts cost a hundred
times that. What a process leaves unused is lost, and a bucketed id has room for 2**51
numbers: 200,000 years of processes that begin every three seconds.
"""
MOST_BATCHES = 16
"""
How many calls ahead a process asks for, where each needs more than a block.

What is inserted in bulk comes in batches. It begins with one and doubles, so that no
more is lost than was used.
"""
Largest = Callable[[], int]
_OF = 'WHERE "cluster" = %s AND "table" = %s'
_NEXT = f'SELECT "next" FROM "shoal_sequence" {_OF}'
_ADVANCE = (
    'UPDATE "shoal_sequence" SET "next" = '
    f'CASE WHEN "next" < %s THEN %s ELSE "next" END + %s {_OF}'
)
_RAISE = f'UPDATE "shoal_sequence" SET "next" = %s {_OF} AND "next" < %s'
_BEGIN = 'INSERT INTO "shoal_sequence" ("cluster", "table", "next") VALUES (%s, %s, %s)'


class _Numbers:
    """What this process has of one sequence, and knows about it."""

    def __init__(self, cluster: ClusterName, table: str) -> None:
        self.key = (cluster, table)
        self.fetching = threading.Lock()
        self._lock = threading.Lock()
        self._unused: list[range] = []
        self._end = 1
        """Where the last block ended that this process got."""
        self._above = 0
        """No number up to here is to be given out."""
        self.known = 1
        """The control database goes on here or above, whoever rolls back."""
        self._batches = 1
        """What the next call for more than a block is taken to be the first of."""

    @property
    def floor(self) -> int:
        """Where to go on at least, also if the row was rolled back to less."""
        return max(self._end, self._above + 1)

    def size(self, count: int) -> int:
        """Return how many numbers to ask for where `count` are needed now."""
        if count <= BLOCK:
            self._batches = 1
            return BLOCK
        size = count * self._batches
        self._batches = min(2 * self._batches, MOST_BATCHES)
        return size

    def take(self, count: int) -> list[int]:
        """Take as many as there are, and `count` at most."""
        taken: list[int] = []
        with self._lock:
            while self._unused and len(taken) < count:
                block, missing = self._unused[0], count - len(taken)
                taken += block[:missing]
                self._unused[:1] = [block[missing:]] if len(block) > missing else []
        return taken

    def got(self, block: range, *, used: int, stays: bool) -> None:
        """Keep what is not used of a block; `stays`: no rollback will take it back."""
        with self._lock:
            self._end = max(self._end, block.stop)
            if stays:
                self.known = max(self.known, block.stop)
            self._unused.append(block[used:])
            # Of two threads the first to ask need not be the first to come here.
            self._unused.sort(key=lambda rest: rest.start)
            self._drop()

    def skip(self, value: int) -> None:
        """Give out nothing up to `value` from now on."""
        with self._lock:
            self._above = max(self._above, value)
            self._drop()

    def _drop(self) -> None:
        rests = (range(max(b.start, self._above + 1), b.stop) for b in self._unused)
        self._unused = [rest for rest in rests if rest]


_numbers: dict[tuple[Place, ClusterName, str], _Numbers] = {}


def next_ids(
    cluster: Cluster, table: str, count: int, *, largest: Largest
) -> list[int]:
    """
    Return `count` numbers, which no other call will ever return, in ascending order.

    They need not follow each other. What is not used is lost, as when a transaction is
    rolled back. A sequence that is not there begins above what `largest` returns: the
    largest number that any shard has.
    """
    numbers = _numbers_of(cluster, table)
    taken = numbers.take(count)
    if len(taken) < count:
        taken += _fetch(numbers, count - len(taken), largest)
    return taken


def raise_to(
    cluster: Cluster, table: str, value: int, *, largest: Largest | None = None
) -> None:
    """
    Let the sequence go on above `value`; never lowers it.

    Asks nobody if this process knows that it is above. A number that another process
    has in a block already comes out there all the same. Without `largest` a sequence
    that is not there stays so, and will begin above the largest number anyway.
    """
    numbers = _numbers_of(cluster, table)
    numbers.skip(value)
    if value < numbers.known:
        return
    with reached_tables() as control:
        if not _raise(control, numbers, value):
            if largest is None:
                return
            failed = _begin(control, numbers, max(value, largest()))
            if failed and not _raise(control, numbers, value):
                raise failed
        if not control.is_in_transaction:
            numbers.known = max(numbers.known, value + 1)


def restart(cluster: Cluster, table: str) -> None:
    """Let the sequence begin anew above what the shards have, which is 0 if empty."""
    with reached_tables() as control, control.transaction():
        control.run(f'DELETE FROM "shoal_sequence" {_OF}', cluster.name, table)
    _numbers.pop((place(), cluster.name, table), None)


def forget() -> None:
    """Drop the blocks of this process: what is left of them is lost."""
    _numbers.clear()


on_settings_change(forget)
# Else parent and child would both go on with what is left of a block; and a lock that
# another thread held stays locked in the child.
os.register_at_fork(after_in_child=forget)


def _numbers_of(cluster: Cluster, table: str) -> _Numbers:
    key = (place(), cluster.name, table)
    try:
        return _numbers[key]
    except KeyError:
        return _numbers.setdefault(key, _Numbers(cluster.name, table))


def _fetch(numbers: _Numbers, count: int, largest: Largest) -> list[int]:
    """
    Let one thread ask while the others wait for the rest of its block.

    Not on SQLite, where it waits for whoever writes, who may be waiting for it here.
    """
    if not goes_apart():
        return _fetch_block(numbers, count, largest)
    with numbers.fetching:
        taken = numbers.take(count)
        if len(taken) < count:
            taken += _fetch_block(numbers, count - len(taken), largest)
        return taken


def _fetch_block(numbers: _Numbers, count: int, largest: Largest) -> list[int]:
    with reached_tables() as control:
        stays = not control.is_in_transaction
        # A block that is rolled back would be handed out again; and what only this
        # process sees costs nothing to ask.
        is_kept = stays and not control.is_in_memory
        size = numbers.size(count) if is_kept else count
        block = _advance(control, numbers, size)
        if block is None:
            failed = _begin(control, numbers, largest())
            block = _advance(control, numbers, size)
            if block is None:
                raise failed or AssertionError("The row has gone again.")
    numbers.got(block, used=count, stays=stays)
    return list(block[:count])


def _advance(control: Control, numbers: _Numbers, size: int) -> range | None:
    """Take the next numbers; return `None` where there is no sequence yet."""
    floor = numbers.floor
    with control.transaction():
        # The change first: it waits for the others, and locks the row. Where it found
        # none, the query may yet find one, and what that says is somebody else's.
        if not control.change(_ADVANCE, floor, floor, size, *numbers.key):
            return None
        end: int = control.run(_NEXT, *numbers.key)[0][0]
    return range(end - size, end)


def _raise(control: Control, numbers: _Numbers, value: int) -> bool:
    """Let the sequence go on above `value`; say whether there is one."""
    with control.transaction():
        while not control.change(_RAISE, value + 1, *numbers.key, value + 1):
            rows = control.run(_NEXT, *numbers.key)
            if not rows or rows[0][0] > value:
                return bool(rows)
    return True


def _begin(control: Control, numbers: _Numbers, largest: int) -> DatabaseError | None:
    """Insert the row; return the error if that fails: others may have been faster."""
    try:
        with control.transaction():
            control.run(_BEGIN, *numbers.key, max(largest, 0) + 1)
    except DatabaseError as error:
        return error
    return None
