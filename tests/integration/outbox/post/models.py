"""What messages tell of, and what receivers make of them."""

from django.db import models


class Order(models.Model):
    """On `source`."""

    text = models.CharField(max_length=50)

    class Meta:
        app_label = "post"

    def __str__(self) -> str:
        return self.text


class Applied(models.Model):
    """On `target`: one for each time that a receiver did its work."""

    message = models.CharField(max_length=32)
    key = models.CharField(max_length=50)
    number = models.IntegerField()

    class Meta:
        app_label = "post"

    def __str__(self) -> str:
        return f"{self.key} {self.number}"
