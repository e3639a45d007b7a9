"""Which bucket a key falls into. The golden vectors never change: rows lie by them."""

import random
from collections import Counter
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from django.db import models
from django.db.models import F
from django.test.utils import isolate_apps
from django.utils.functional import lazystr
from tests.unit.declared import made

from shoal.errors import DeclarationError, KeyTypeError, MissingKey
from shoal.placement.in_sql import literal
from shoal.placement.keys import LEAST, MOST, key_column, key_type
from shoal.placement.schemes import (
    BITS,
    BUCKETS,
    HASH,
    Custom,
    Directory,
    Modulo,
    Ranges,
    Scheme,
    Strategy,
    first_bucket,
)

FIELDS: dict[str, type[Any]] = {
    "number": models.BigIntegerField,
    "flag": models.BooleanField,
    "text": models.TextField,
    "uuid": models.UUIDField,
}
A_UUID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture(scope="module")
def keyed() -> Any:
    with isolate_apps("tests.project.feedback"):
        fields = {name: field() for name, field in FIELDS.items()}
        other = made("Other")
        link = models.ForeignKey(other, models.CASCADE)
        return made("Keyed", other=link, **fields)


def scheme(model: Any, strategy: Strategy, *names: str) -> Scheme:
    columns = [key_column(model._meta.get_field(name)) for name in names]
    return Scheme(strategy, tuple(column for column in columns if column))


@pytest.mark.parametrize(
    ("name", "value", "bucket"),
    [
        ("number", 0, 0x7DE),
        ("number", 1, 0xFA5),
        ("number", -1, 0xC2C),
        ("number", 7, 0xE3E),
        ("number", 4096, 0xF7F),
        ("number", LEAST, 0x544),
        ("number", MOST, 0xBD5),
        ("flag", False, 0x7DE),
        ("flag", True, 0xFA5),
        ("text", "", 0xD41),
        ("text", "a", 0x0CC),
        ("text", "日本", 0x4DB),
        ("uuid", A_UUID, 0xB7A),
    ],
)
def test_a_hash_is_what_it_was(keyed: Any, name: str, value: Any, bucket: int) -> None:
    assert scheme(keyed, HASH, name).bucket(value) == bucket


def test_the_hash_of_several_columns_is_what_it_was(keyed: Any) -> None:
    both = scheme(keyed, HASH, "number", "text")
    assert both.bucket((7, "a")) == both.bucket(["7", "a"]) == 0xB5B
    assert scheme(keyed, HASH, "text", "number").bucket(("a", 7)) != 0xB5B


def test_a_hash_spreads_keys_that_follow_each_other(keyed: Any) -> None:
    hashed = scheme(keyed, HASH, "number")
    for step in (1, 4096, 10**9):
        counts = Counter(hashed.bucket(i * step) for i in range(BUCKETS * 10))
        assert len(counts) > BUCKETS * 0.99
        assert max(counts.values()) < 40


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("number", "5", 5),
        ("number", " 5 ", 5),
        ("number", True, 1),
        ("number", 5.0, 5),
        ("number", IntEnum("Five", {"FIVE": 5}).FIVE, 5),  # type: ignore[attr-defined]
        ("flag", "True", True),
        ("flag", 0, False),
        ("text", 5, "5"),
        ("text", lazystr("late"), "late"),
        ("text", models.TextChoices("Size", "BIG").BIG, "BIG"),  # type: ignore[attr-defined]
        ("uuid", str(A_UUID), A_UUID),
        ("uuid", A_UUID.hex.upper(), A_UUID),
        ("other", "5", 5),
    ],
)
def test_values_are_read_as_django_reads_them(
    keyed: Any, name: str, written: Any, value: Any
) -> None:
    hashed = scheme(keyed, HASH, name)
    assert hashed.bucket(written) == hashed.bucket(value)


def test_an_object_stands_for_its_key(keyed: Any) -> None:
    hashed = scheme(keyed, HASH, "other")
    other: Any = keyed._meta.get_field("other").remote_field.model
    assert hashed.bucket(other(pk=9)) == hashed.bucket(9)
    with pytest.raises(MissingKey):
        hashed.bucket(other())
    with pytest.raises(KeyTypeError):
        hashed.bucket(keyed(pk=9))
    with pytest.raises(KeyTypeError):
        scheme(keyed, HASH, "text").bucket(other(pk=9))


@pytest.mark.parametrize("name", [*FIELDS, "other"])
def test_none_is_no_key(keyed: Any, name: str) -> None:
    with pytest.raises(MissingKey) as caught:
        scheme(keyed, HASH, name).bucket(None)
    assert str(caught.value) == (
        f"feedback.Keyed.{name} is None, but it is the key of its row.\n"
        "Hint: Give it a value: without one, no shard is the row's own."
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "five"),
        ("number", ""),
        ("number", []),
        ("number", float("inf")),
        ("number", float("nan")),
        ("number", F("number")),
        ("flag", "perhaps"),
        ("text", "\ud800"),
        ("text", F("text")),
        ("uuid", "12345"),
        ("uuid", ""),
        ("uuid", object()),
        ("other", "five"),
    ],
)
def test_what_the_column_cannot_hold_is_no_key(
    keyed: Any, name: str, value: Any
) -> None:
    with pytest.raises(KeyTypeError) as caught:
        scheme(keyed, HASH, name).bucket(value)
    message = f"feedback.Keyed.{name} is {value!r}, which cannot be a key."
    assert caught.value.message == message
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", [MOST + 1, LEAST - 1, str(MOST + 1), 10**30])
@pytest.mark.parametrize("strategy", [HASH, BITS, Modulo(3)])
def test_a_key_has_64_bits(keyed: Any, strategy: Strategy, value: Any) -> None:
    with pytest.raises(KeyTypeError) as caught:
        scheme(keyed, strategy, "number").bucket(value)
    assert str(caught.value) == (
        f"feedback.Keyed.number is {value!r}, which does not fit into 64 bits.\n"
        "Hint: A key is a whole number from -2**63 to 2**63 - 1."
    )


@pytest.mark.parametrize("value", [(1,), (1, "a", 2), 1, "ab", None])
def test_a_key_of_two_columns_has_two_values(keyed: Any, value: Any) -> None:
    with pytest.raises(KeyTypeError) as caught:
        scheme(keyed, HASH, "number", "text").bucket(value)
    assert str(caught.value) == (
        f"The key (feedback.Keyed.number, feedback.Keyed.text) is {value!r}.\n"
        "Hint: Give a tuple of 2 values."
    )


def test_a_field_of_the_project_is_asked_what_it_stores() -> None:
    class Prefixed(models.BigIntegerField):  # type: ignore[type-arg]
        def get_prep_value(self, value: Any) -> Any:
            return int(str(value).removeprefix("P")) + 1000

    with isolate_apps("tests.project.feedback"):
        model = made("Prefixed", number=Prefixed(), plain=models.IntegerField())
    own, plain = (scheme(model, HASH, name) for name in ("number", "plain"))
    assert own.bucket("P5") == own.bucket(5) == plain.bucket(1005)


@pytest.mark.parametrize(
    ("field", "type_"),
    [
        (models.AutoField(primary_key=True), "int"),
        (models.SmallIntegerField(), "int"),
        (models.PositiveBigIntegerField(), "int"),
        (models.CharField(), "text"),
        (models.SlugField(), "text"),
        (models.EmailField(), "text"),
        (models.URLField(), "text"),
        (models.UUIDField(), "uuid"),
        (models.BooleanField(), "bool"),
        (models.DateField(), None),
        (models.DecimalField(max_digits=9, decimal_places=2), None),
        (models.FloatField(), None),
        (models.BinaryField(), None),
        (models.DurationField(), None),
        (models.JSONField(), None),
        (models.GenericIPAddressField(), None),
    ],
    ids=lambda field: type(field).__name__,
)
def test_which_types_can_be_keys(field: Any, type_: str | None) -> None:
    with isolate_apps("tests.project.feedback"):
        model = made("Typed", field=field)
    assert key_type(model._meta.get_field("field")) == type_


def test_equal_schemes_do_not_depend_on_their_models(keyed: Any) -> None:
    assert scheme(keyed, HASH, "number") == scheme(keyed, HASH, "other")
    assert hash(scheme(keyed, HASH, "number")) == hash(scheme(keyed, HASH, "other"))
    assert scheme(keyed, HASH, "number") != scheme(keyed, HASH, "text")
    assert scheme(keyed, HASH, "number") != scheme(keyed, BITS, "number")
    assert scheme(keyed, Modulo(3), "number") != scheme(keyed, Modulo(4), "number")
    assert Directory("shop") == Directory("shop") != Directory("mall")
    assert Custom(len) == Custom(len) != Custom(hash)


def test_bits_are_those_of_the_id(keyed: Any) -> None:
    bits = scheme(keyed, BITS, "number")
    assert bits.bucket(12345 * BUCKETS + 77) == 77
    assert bits.bucket(-1) == BUCKETS - 1
    assert bits.bucket("77") == 77


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 1000, 4095, 4096])
def test_modulo_puts_a_key_on_the_shard_of_its_remainder(keyed: Any, n: int) -> None:
    by = scheme(keyed, Modulo(n), "number")
    some = random.Random(n)
    for key in (
        0,
        1,
        -1,
        LEAST,
        MOST,
        *(some.randint(LEAST, MOST) for _ in range(500)),
    ):
        bucket = by.bucket(key)
        assert first_bucket(key % n, n) <= bucket < first_bucket(key % n + 1, n)


def test_modulo_uses_every_bucket(keyed: Any) -> None:
    by = scheme(keyed, Modulo(3), "number")
    assert {by.bucket(key) for key in range(-5000, 9000)} == set(range(BUCKETS))


def test_ranges_keep_neighbours_together(keyed: Any) -> None:
    by = scheme(keyed, Ranges((0, 100)), "number")
    found = [by.bucket(key) for key in (LEAST, -1, 0, 99, 100, MOST)]
    assert found == [0, 0, 1366, 1366, 2731, 2731]
    by = scheme(keyed, Ranges(("b", "é")), "text")
    assert [by.bucket(key) for key in ("", "a", "b", "z", "é", "日")] == [
        *(0, 0),
        *(1366, 1366),
        *(2731, 2731),
    ]


def test_a_function_says_the_bucket(keyed: Any) -> None:
    assert scheme(keyed, Custom(lambda key: key + 1), "number").bucket("5") == 6
    both = scheme(keyed, Custom(len), "number", "text")
    assert both.bucket((1, "a")) == 2
    for wrong in (-1, 4096, "5", True, None):
        with pytest.raises(DeclarationError) as caught:
            scheme(keyed, Custom(lambda key, w=wrong: w), "number").bucket(5)
        assert f"gave the bucket {wrong!r} for the key 5." in caught.value.message
        assert caught.value.hint == "A bucket is a whole number from 0 to 4095."


@pytest.mark.parametrize("strategy", [Directory("shop"), Custom(len)])
def test_what_sql_cannot_follow_says_so(keyed: Any, strategy: Strategy) -> None:
    with pytest.raises(DeclarationError) as caught:
        scheme(keyed, strategy, "number").sql('"number"', "postgresql")
    assert str(caught.value) == (
        f"A bucket by {strategy.name} cannot be computed in SQL.\n"
        'Hint: Use "IDS": "bucketed", so that the primary key carries the bucket.'
    )


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite"])
def test_sql_stands_in_a_statement_with_parameters(keyed: Any, vendor: str) -> None:
    by_text = scheme(
        keyed,
        Ranges(
            ("%s", "'"),
        ),
        "text",
    )
    for of in (by_text, scheme(keyed, Modulo(3), "number")):
        assert "%" not in of.sql("c", vendor)
    assert literal("%'", vendor).count("'") == 2


@pytest.mark.parametrize(
    ("vendor", "collation", "exact"),
    [
        ("postgresql", None, True),
        ("postgresql", "C", True),
        ("postgresql", "de-x-icu", True),
        ("postgresql", "en_US.utf8", True),
        ("postgresql", "case_insensitive", False),
        ("sqlite", None, True),
        ("sqlite", "BINARY", True),
        ("sqlite", "NOCASE", False),
        ("mysql", None, False),
        ("mysql", "utf8mb4_bin", False),
        ("mysql", "utf8mb4_nopad_bin", True),
        ("mysql", "utf8mb4_0900_bin", True),
        ("mysql", "utf8mb4_0900_ai_ci", False),
    ],
)
def test_which_texts_equal_themselves_alone(
    vendor: str, collation: str | None, exact: bool
) -> None:
    with isolate_apps("tests.project.feedback"):
        slug = models.SlugField(primary_key=True, db_collation=collation)
        target = made("Target", slug=slug, number=models.IntegerField())
        link = models.ForeignKey(target, models.CASCADE)
        source = made("Source", target=link)
    assert scheme(target, HASH, "slug").is_exact(vendor) is exact
    assert scheme(source, HASH, "target").is_exact(vendor) is exact
    assert scheme(target, HASH, "number").is_exact(vendor)
    assert scheme(target, HASH, "number", "slug").is_exact(vendor) is exact


def test_a_type_of_the_project_may_be_inexact() -> None:
    class CIText(models.TextField):  # type: ignore[type-arg]
        def db_type(self, connection: Any) -> str:
            return "citext"

    with isolate_apps("tests.project.feedback"):
        model = made("Inexact", name=CIText())
    assert not scheme(model, HASH, "name").is_exact("postgresql")
