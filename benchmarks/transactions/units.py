"""Takes a kind of server, gives each way to write once on one, two or four of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.transactions.places import MANY, plain, sharded, shards

SHOAL, SEPARATE, SHARDED, ONE = "shoal", "separate", "sharded", "one server"
TOUCHED, DJANGO = "atomic(a, b), one touched", "Django's atomic(a)"
BY_ORM = ", by the ORM"
"""Behind the name of a way that reads a row, changes it and adds one."""
INSERT = "INSERT INTO note (text) VALUES ('so much for that')"


class Way(NamedTuple):
    block: Callable[[], Any]
    """Returns what the unit is entered by."""
    write: Callable[[], None]


class Nested:
    """One Django transaction in another, which commit one after the other."""

    def __init__(self, aliases: Sequence[str]) -> None:
        from django.db import transaction

        self._blocks = [transaction.atomic(using=alias) for alias in aliases]

    def __enter__(self) -> None:
        for block in self._blocks:
            block.__enter__()

    def __exit__(self, *error: Any) -> None:
        for block in reversed(self._blocks):
            block.__exit__(*error)


def ways(kind: str) -> Mapping[str, Way]:
    return dict(_over_one(kind)) | {
        named(name, many): way for many in MANY for name, way in _over(kind, many)
    }


def named(name: str, many: int) -> str:
    return f"{name}, {many}"


def _over_one(kind: str) -> Iterator[tuple[str, Way]]:
    from django.db import transaction

    from shoal.transactions import atomic

    first, second = plain(kind)[:2]

    def shoal() -> Any:
        return atomic(first, second)

    def django() -> Any:
        return transaction.atomic(using=first)

    for behind, write in (("", inserts([first])), (BY_ORM, change(first))):
        yield f"{TOUCHED}{behind}", Way(shoal, write)
        yield f"{DJANGO}{behind}", Way(django, write)


def _over(kind: str, many: int) -> Iterator[tuple[str, Way]]:
    from django.db import transaction

    from shoal.transactions import atomic

    several, whole = plain(kind)[:many], sharded(kind, many)
    yield SHOAL, Way(lambda: atomic(*several), inserts(several))
    yield SEPARATE, Way(lambda: Nested(several), inserts(several))
    on_shards, on_one = inserts(shards(kind, many)), inserts(several[:1] * many)
    yield SHARDED, Way(lambda: transaction.atomic(using=whole), on_shards)
    yield ONE, Way(lambda: transaction.atomic(using=several[0]), on_one)


def inserts(aliases: Sequence[str]) -> Callable[[], None]:
    """Return what adds a row on each, by raw SQL."""
    from django.db import connections

    def write() -> None:
        for alias in aliases:
            with connections[alias].cursor() as cursor:
                cursor.execute(INSERT)

    return write


def change(alias: str) -> Callable[[], None]:
    """Return what reads a row, changes it and adds one, as a view would."""
    from benchmarks.transactions.models import Note

    notes = Note.objects.using(alias)
    known = notes.create(text="there before").pk

    def write() -> None:
        note = notes.select_for_update().get(pk=known)
        note.text = "seen"
        note.save()
        notes.create(text="so much for that")

    return write
