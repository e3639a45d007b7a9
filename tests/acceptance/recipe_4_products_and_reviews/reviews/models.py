from django.conf import settings
from django.db import models


class Review(models.Model):
    # Both lie on other servers. db_constraint=False: this server can't check that they
    # exist. DO_NOTHING: Django's cascade would look for them here. What happens when
    # one is deleted is in receivers.py.
    product = models.ForeignKey(
        "products.Product", models.DO_NOTHING, db_constraint=False
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, db_constraint=False
    )
    stars = models.PositiveSmallIntegerField(default=3)
    text = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["product", "author"], name="one_review_per_person"
            )
        ]

    def __str__(self):
        return f"{self.stars} stars"


class Reply(models.Model):
    review = models.ForeignKey(Review, models.CASCADE, related_name="replies")
    text = models.TextField()

    class Meta:
        verbose_name_plural = "replies"

    def __str__(self):
        return self.text
