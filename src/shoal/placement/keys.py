"""
Takes a field, gives how its values are read as keys. Asks no server.

A key is a whole number, a text or a UUID, as it will stand in the column.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import (
    AutoField,
    Field,
    ForeignKey,
    GeneratedField,
    IntegerField,
    Model,
)

from shoal.conf import is_configured
from shoal.errors import KeyTypeError, MissingKey

Key: TypeAlias = int | str | UUID
"""One part of a key, as the database holds it."""

KeyType: TypeAlias = Literal["int", "bool", "text", "uuid"]

AnyField: TypeAlias = "Field[Any, Any]"
ModelClass: TypeAlias = type[Model]

_TYPES: dict[str, KeyType] = {
    "AutoField": "int",
    "BigAutoField": "int",
    "BigIntegerField": "int",
    "BooleanField": "bool",
    "CharField": "text",
    "EmailField": "text",
    "IntegerField": "int",
    "PositiveBigIntegerField": "int",
    "PositiveIntegerField": "int",
    "PositiveSmallIntegerField": "int",
    "SlugField": "text",
    "SmallAutoField": "int",
    "SmallIntegerField": "int",
    "TextField": "text",
    "URLField": "text",
    "UUIDField": "uuid",
}
_PYTHON: dict[KeyType, type] = {"int": int, "bool": int, "text": str, "uuid": UUID}
_WORDS = {"int": "a whole number", "bool": "a boolean", "text": "a text"}
_REFUSALS = (
    AttributeError,
    OverflowError,
    TypeError,
    ValueError,
    ValidationError,
)
"""What Django's fields raise for a value that they do not take."""
_KEEP_INTS = {IntegerField.get_prep_value, AutoField.get_prep_value}
_EXACT = re.compile(
    r"C|POSIX|default|ucs_basic|unicode|pg_c_utf8|pg_unicode_fast"
    r"|(C|[a-z]{2,3}_[A-Z]{2})(\.[\w-]+)?(@\w+)?|[\w-]+-x-icu"
)
"""Collations of PostgreSQL itself: under each, a text equals itself alone."""

LEAST, MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class KeyColumn:
    """One column whose values are keys, or parts of keys."""

    label: str
    """`app_label.Model.field`, for errors."""
    column: str
    type: KeyType
    prepare: Callable[[Any], Any]
    """Turns what Python users write into what the column holds, or raises."""
    keeps_ints: bool = False
    """Whether an `int` needs no preparing."""
    related: tuple[ModelClass, str] | None = None
    """For a foreign key: the model that it points to, and the attribute there."""
    collation: str | None = None
    save: Callable[[Any, Any], Any] | None = None
    """Turns a value into what is written, where the field has a way of its own."""
    own_type: bool = False
    """Whether the field brings a database type of its own, such as `citext`."""

    def read(self, value: Any) -> Key:
        """Return `value` as the column holds it, or say that it is no key of it."""
        if type(value) is int and self.keeps_ints and LEAST <= value <= MOST:
            return value
        return self._read(value)

    def _read(self, value: Any) -> Key:
        if self.related and isinstance(value, self.related[0]):
            value = getattr(value, self.related[1])
        if value is None:
            raise MissingKey(
                f"{self.label} is None, but it is the key of its row.",
                hint="Give it a value: without one, no shard is the row's own.",
            )
        if isinstance(value, Model) or hasattr(value, "resolve_expression"):
            raise self._wrong(value)
        try:
            key = self.prepare(value)
            if isinstance(key, str):
                key.encode()
                # The column reads a text so.
                key = UUID(key) if self.type == "uuid" else key
        except _REFUSALS as error:
            raise self._wrong(value) from error
        if not isinstance(key, _PYTHON[self.type]):
            key = self._as_saved(value)
        if isinstance(key, int) and not LEAST <= key <= MOST:
            raise KeyTypeError(
                f"{self.label} is {value!r}, which does not fit into 64 bits.",
                hint="A key is a whole number from -2**63 to 2**63 - 1.",
            )
        return int(key) if isinstance(key, int) else key

    def _as_saved(self, value: Any) -> Any:
        """Return what a field writes that turns its own values into others."""
        if self.save is None:
            raise self._wrong(value)
        alias = next(a for a in connections if is_configured(connections.settings[a]))
        try:
            key = self.save(value, connections[alias])
        except _REFUSALS as error:
            raise self._wrong(value) from error
        if not isinstance(key, _PYTHON[self.type]):
            raise self._wrong(value)
        return key

    def _wrong(self, value: Any) -> KeyTypeError:
        wanted = _WORDS.get(self.type, "a UUID")
        return KeyTypeError(
            f"{self.label} is {value!r}, which cannot be a key.",
            hint=f"Its keys are each {wanted}, known before the row is sent.",
        )

    def is_exact(self, vendor: str) -> bool:
        """Say whether two values are equal in the database only if they are here."""
        if self.type != "text":
            return True
        if self.own_type:
            return False
        if vendor == "mysql":
            return (self.collation or "").endswith(("_nopad_bin", "_0900_bin"))
        if vendor == "sqlite":
            return (self.collation or "BINARY").upper() == "BINARY"
        return self.collation is None or bool(_EXACT.fullmatch(self.collation))


def end_of(field: AnyField) -> AnyField:
    """Follow foreign keys to the field whose values they hold."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field


def key_type(field: AnyField) -> KeyType | None:
    """Return the type of the keys in `field`, `None` if it cannot hold any."""
    end = end_of(field)
    if isinstance(end, GeneratedField) or not getattr(end, "column", None):
        return None
    return _TYPES.get(end.get_internal_type())


def key_column(field: AnyField) -> KeyColumn | None:
    """Return how `field` is read, `None` if it cannot hold a key."""
    found = key_type(field)
    if found is None:
        return None
    end = end_of(field)
    is_link = isinstance(field, ForeignKey)
    plain_link = not is_link or type(field).get_prep_value is ForeignKey.get_prep_value
    return KeyColumn(
        label=f"{field.model._meta.label}.{field.name}",
        column=str(field.column),
        type=found,
        prepare=field.get_prep_value,
        keeps_ints=plain_link and type(end).get_prep_value in _KEEP_INTS,
        related=_related(field) if isinstance(field, ForeignKey) else None,
        save=end.get_db_prep_save
        if type(end).get_db_prep_save is not Field.get_db_prep_save
        else None,
        collation=getattr(end, "db_collation", None),
        own_type=type(end).db_type is not Field.db_type,
    )


def _related(field: "ForeignKey[Any, Any]") -> tuple[ModelClass, str]:
    model: Any = field.remote_field.model
    return model._meta.concrete_model, field.target_field.attname
