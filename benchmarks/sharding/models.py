"""One kind of row in three places: on four shards, in one database, on many shards."""

from django.db import models

from shoal.placement import sharded


class Row(models.Model):
    id = models.BigAutoField(primary_key=True)
    product = models.BigIntegerField()
    author = models.BigIntegerField()
    stars = models.IntegerField()
    text = models.TextField()
    created = models.DateTimeField()

    class Meta:
        abstract = True
        app_label = "sharding"
        indexes = (
            models.Index(fields=["product", "created"]),
            models.Index(fields=["created"]),
        )

    def __str__(self) -> str:
        return f"{self.pk} of {self.product}"


@sharded(key="product")
class Review(Row):
    """On four shards."""


class OneReview(Row):
    """The same rows in one database."""


@sharded(key="product")
class WideReview(Row):
    """Those of a few products, on many shards."""
