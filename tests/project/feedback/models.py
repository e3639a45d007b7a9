"""Reviews: on the cluster `feedback`, about products and by people elsewhere."""

from django.conf import settings
from django.db import models


class Review(models.Model):
    product = models.ForeignKey(
        "catalog.Product", models.DO_NOTHING, db_constraint=False
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False
    )
    stars = models.IntegerField(default=3)

    def __str__(self) -> str:
        return f"{self.stars} stars"


class Vote(models.Model):
    review = models.ForeignKey(Review, models.CASCADE, related_name="votes")

    def __str__(self) -> str:
        return f"vote {self.pk}"
