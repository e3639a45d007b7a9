"""One table with a column of every type that a vendor has, and its own collations."""

from typing import Any

from django.contrib.postgres import fields as postgres
from django.db import models


class Typed(models.Model):
    """What every vendor has. Lies by its primary key."""

    part = models.IntegerField()
    """What rows are grouped by, where their values are aggregated."""
    small = models.SmallIntegerField(null=True)
    whole = models.BigIntegerField(null=True)
    amount = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    weight = models.FloatField(null=True)
    extreme = models.FloatField(null=True)
    flag = models.BooleanField(null=True)
    text = models.TextField(null=True)  # noqa: DJ001
    name = models.CharField(max_length=100, null=True)  # noqa: DJ001
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    token = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    data = models.JSONField(null=True)
    blob = models.BinaryField(null=True)

    class Meta:
        abstract = True
        app_label = "typed"

    def __str__(self) -> str:
        return f"{self._meta.model_name} {self.pk}"


def _text_in(collation: str) -> Any:
    return models.CharField(max_length=100, null=True, db_collation=collation)


class OnSqlite(Typed):
    binary = _text_in("BINARY")
    folded = _text_in("NOCASE")


class OnMysql(Typed):
    binary = _text_in("utf8mb4_bin")
    folded = _text_in("utf8mb4_general_ci")
    unpadded = _text_in("utf8mb4_nopad_bin")


class OnPostgresql(Typed):
    binary = _text_in("C")
    folded = _text_in("shoal_folded")
    numbers = postgres.ArrayField(models.IntegerField(null=True), null=True)
    words = postgres.ArrayField(models.CharField(max_length=20, null=True), null=True)
    nested = postgres.ArrayField(
        postgres.ArrayField(models.IntegerField(null=True)), null=True
    )
    amounts = postgres.ArrayField(
        models.DecimalField(max_digits=8, decimal_places=2, null=True), null=True
    )
    range = postgres.IntegerRangeField(null=True)
    wide_range = postgres.BigIntegerRangeField(null=True)
    price_range = postgres.DecimalRangeField(null=True)
    day_range = postgres.DateRangeField(null=True)
    moment_range = postgres.DateTimeRangeField(null=True)


MODEL_OF: dict[str, Any] = {
    "sqlite": OnSqlite,
    "mysql": OnMysql,
    "postgresql": OnPostgresql,
}
"""By the vendor's name."""
