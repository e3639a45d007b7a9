"""Every server computes the bucket that Python computes."""

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, models
from django.test.utils import isolate_apps

from shoal.errors import DeclarationError, UnknownKey
from shoal.placement.buckets import create_tables
from shoal.placement.directories import bucket_in_directory, write_in_directory
from shoal.placement.keys import LEAST, MOST, key_column
from shoal.placement.schemes import (
    BITS,
    HASH,
    Modulo,
    Ranges,
    Scheme,
    Strategy,
    register,
)
from tests.integration.sharding.conftest import ask, only

MANY = 2000

INTS = [0, 1, -1, 4095, 4096, -4096, 2**31, 2**53 + 1, LEAST, LEAST + 1, MOST, MOST - 1]
TEXTS = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "ä",
    "ß",
    "Ω",
    "日本",
    "😀",
    "'",
    '"',
    "\\",
    "%s",
    "\n",
]
UUIDS = [UUID(int=0), UUID(int=2**128 - 1), UUID(int=2**127), UUID(int=255)]
BOUNDS = tuple(UUID(int=i << 124) for i in (1, 5, 8, 12))

SINGLE: dict[str, list[Strategy]] = {
    "number": [
        HASH,
        BITS,
        *map(Modulo, (1, 2, 3, 4, 7, 1000, 4095, 4096)),
        Ranges((LEAST, -5, 0, 10**6, 2**40, MOST)),
    ],
    "small": [HASH, BITS, Modulo(3), Ranges((-100, 0, 100))],
    "flag": [HASH, Modulo(2)],
    "text": [HASH, Ranges(("%", "'", "A", "M", "\\", "a", "ä", "日", "😀"))],
    "uuid": [HASH, Ranges(BOUNDS)],
}
COMPOSITE = [("number", "text"), ("uuid", "flag", "text"), ("text", "small")]


def values() -> Iterator[dict[str, Any]]:
    some = random.Random(4096)

    def integer(bits: int) -> int:
        size = some.randint(0, bits - 1)
        return some.randint(-(2**size), 2**size - 1)

    def letter() -> str:
        letters = (range(1, 128), range(0xA0, 0xD800), range(0x10000, 0x11000))
        return chr(some.choice(some.choice(letters)))

    def text() -> str:
        return "".join(letter() for _ in range(some.randint(0, 40)))

    def uuid() -> UUID:
        # MariaDB's own type takes only what some version may have made.
        return UUID(int=some.getrandbits(128), version=some.choice((1, 3, 4, 5)))

    for i in range(MANY):
        yield {
            "number": INTS[i] if i < len(INTS) else integer(64),
            "small": integer(16),
            "flag": some.random() < 0.5,
            "text": TEXTS[i] if i < len(TEXTS) else text(),
            "uuid": UUIDS[i] if i < len(UUIDS) else uuid(),
        }


@pytest.fixture
def keyed(control: str) -> Iterator[Any]:
    """A table with a column of each type of key, on a server of each kind."""
    connection = connections["control"]
    collation = "utf8mb4_nopad_bin" if connection.vendor == "mysql" else None
    with isolate_apps("tests.project.feedback"):

        class Keyed(models.Model):
            number = models.BigIntegerField(null=True)
            small = models.SmallIntegerField(null=True)
            flag = models.BooleanField(null=True)
            text = models.CharField(null=True, max_length=99, db_collation=collation)  # noqa: DJ001
            uuid = models.UUIDField(null=True)

            class Meta:
                app_label = "feedback"
                db_table = "shoal_keyed"

            def __str__(self) -> str:
                return str(self.number)

        connection.ensure_connection()
        register(connection)
        with connection.schema_editor() as editor:
            editor.create_model(Keyed)
        try:
            yield Keyed
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(Keyed)


def scheme(model: Any, strategy: Strategy, *names: str) -> Scheme:
    columns = (key_column(model._meta.get_field(name)) for name in names)
    return Scheme(strategy, tuple(column for column in columns if column))


def schemes(model: Any) -> Iterator[tuple[tuple[str, ...], Scheme]]:
    for name, strategies in SINGLE.items():
        for strategy in strategies:
            yield (name,), scheme(model, strategy, name)
    for names in COMPOSITE:
        yield names, scheme(model, HASH, *names)


def expression(names: tuple[str, ...], of: Scheme) -> str:
    quote = connections["control"].ops.quote_name
    columns = [quote(name) for name in names]
    whole = columns if len(columns) > 1 else columns[0]
    return of.sql(whole, connections["control"].vendor)


def test_every_server_agrees_with_python(keyed: Any) -> None:
    rows = list(values())
    keyed.objects.using("control").bulk_create([keyed(**row) for row in rows])
    for names, of in schemes(keyed):
        sql = expression(names, of)
        # With a parameter, as a compiled query has them.
        found = ask(f"SELECT {sql} FROM shoal_keyed WHERE id > %s ORDER BY id", 0)
        parts = [tuple(row[name] for name in names) for row in rows]
        expected = [of.bucket(p if len(p) > 1 else p[0]) for p in parts]
        wrong = [
            (part, right, answer)
            for part, right, (answer,) in zip(parts, expected, found, strict=True)
            if answer != right
        ]
        assert wrong == [], (of, names, sql)


def test_a_row_without_its_key_has_no_bucket(keyed: Any) -> None:
    keyed.objects.using("control").create()
    keyed.objects.using("control").create(number=1)
    for names, of in schemes(keyed):
        sql = expression(names, of)
        assert ask(f"SELECT {sql} FROM shoal_keyed WHERE id = 1") == [(None,)], sql
        if len(names) > 1:
            assert ask(f"SELECT {sql} FROM shoal_keyed WHERE id = 2") == [(None,)], sql


@only("postgresql")
def test_a_publication_takes_it_as_its_row_filter(keyed: Any) -> None:
    for names, of in schemes(keyed):
        sql = expression(names, of)
        ask(
            "CREATE PUBLICATION shoal_filter FOR TABLE shoal_keyed "
            f"WHERE (({sql}) BETWEEN 10 AND 2000) WITH (publish = 'insert')"
        )
        ask("DROP PUBLICATION shoal_filter")


@only("mariadb")
def test_a_uuid_kept_as_text_has_the_same_bucket(keyed: Any) -> None:
    of = scheme(keyed, HASH, "uuid")
    for value in UUIDS:
        for written in (f"'{value.hex}'", f"'{value}'", f"CAST('{value}' AS UUID)"):
            assert ask(f"SELECT {of.sql(written, 'mysql')}") == [(of.bucket(value),)]


def test_the_directory_keeps_what_was_written_down(control: str) -> None:
    create_tables()
    with pytest.raises(UnknownKey) as caught:
        bucket_in_directory("shop", "acme")
    assert str(caught.value) == (
        "The directory of the cluster 'shop' has no key 'acme'.\n"
        "Hint: Write it down with write_in_directory(cluster, key, bucket) before the "
        "first row with it."
    )
    write_in_directory("shop", "acme", 7)
    write_in_directory("shop", "acme", 7)
    write_in_directory("shop", "Acme", 8)
    write_in_directory("mall", "acme", 9)
    assert bucket_in_directory("shop", "acme") == 7
    assert bucket_in_directory("shop", "Acme") == 8
    assert bucket_in_directory("mall", "acme") == 9
    with pytest.raises(DeclarationError) as refused:
        write_in_directory("shop", "acme", 8)
    assert str(refused.value) == (
        "The directory of 'shop' has 'acme' in bucket 7, not 8.\n"
        "Hint: A key keeps its bucket for ever. Buckets move, keys do not."
    )
    with pytest.raises(DeclarationError, match="4096 is not a bucket"):
        write_in_directory("shop", "other", 4096)
