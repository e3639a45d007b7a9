"""The row that a visitor of the benchmarks writes and reads."""

from django.db import models


class Counter(models.Model):
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "benchmarks"

    def __str__(self) -> str:
        return f"{self.pk}: {self.value}"
