"""
The rows that must survive, in the control database. Fields only.

They are made by a migration and unmanaged since: what flushes the project's tables, or
keeps their rows over a test, leaves them alone. Nobody asks them through the ORM:
`shoal.placement` does, past the project's transactions. The rows bear names that no
value of Shoal has.
"""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

LONGEST = 255
_BYTES = 4
"""What a character of a text takes at most, in UTF-8."""


class ExactText(models.CharField):  # type: ignore[type-arg]
    """
    A short text that equals itself alone.

    MySQL and MariaDB compare text without regard to case, and most of their collations
    without regard to spaces at the end. There it is kept as bytes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", LONGEST)
        super().__init__(*args, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return f"varbinary({(self.max_length or LONGEST) * _BYTES})"
        return super().db_type(connection)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        value = super().get_db_prep_value(value, connection, prepared)
        if connection.vendor == "mysql" and isinstance(value, str):
            return value.encode()
        return value

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value


class ClusterRow(models.Model):
    """One for each sharded cluster that has a bucket map."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    version = models.BigIntegerField()
    """Grows with each change of the map."""

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_cluster"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["cluster"], name="shoal_cluster_once"),
        )

    def __str__(self) -> str:
        return f"{self.cluster} version {self.version}"


class RangeRow(models.Model):
    """Buckets that follow each other and are on one shard."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    first = models.IntegerField()
    last = models.IntegerField()
    """The last one belongs to it."""
    shard = ExactText()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_range"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "first"], name="shoal_range_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.first}-{self.last}: {self.shard}"


class SequenceRow(models.Model):
    """The numbers for the automatic ids of one table of a sharded cluster."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    table = ExactText()
    next = models.BigIntegerField()
    """Nobody has got this number yet, nor any above."""

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_sequence"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "table"], name="shoal_sequence_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.table}: {self.next}"


class DirectoryRow(models.Model):
    """A key that was given its bucket by hand."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    key = ExactText()
    bucket = models.IntegerField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_directory"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "key"], name="shoal_directory_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.key!r}: {self.bucket}"
