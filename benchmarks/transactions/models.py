"""The table that is written on, once Django is set up."""

from django.db import models


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "benchmarks"
        managed = False
        db_table = "note"

    def __str__(self) -> str:
        return self.text
