"""On a sharded cluster, in the tests that say so."""

from django.db import models

from shoal.placement import reference, sharded


@reference
class Product(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Reader(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


@sharded(key="reader")
class Review(models.Model):
    reader = models.ForeignKey(Reader, models.CASCADE)
    product = models.ForeignKey(Product, models.CASCADE)
    better_than = models.ForeignKey("self", models.SET_NULL, null=True)
    liked_by = models.ManyToManyField(Reader, related_name="+")
    stars = models.IntegerField(default=3)
    text = models.CharField(max_length=100, default="")

    def __str__(self) -> str:
        return f"{self.stars} stars"


class Shelf(models.Model):
    """Beside the key of a review: no shard can check what it points to."""

    review = models.ForeignKey(Review, models.CASCADE)

    def __str__(self) -> str:
        return f"shelf {self.pk}"
