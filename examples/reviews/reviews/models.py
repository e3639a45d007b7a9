"""What people think of products: the cluster "reviews", on four shards.

All reviews of one product are on one shard, so its page asks that one, and the shard
itself sees to it that nobody reviews a product twice. A person's reviews are all over.

The product and the author live on other servers, so the database can't check these
two foreign keys (`db_constraint=False`) and Django must not look for reviews where the
product or the person is deleted (`DO_NOTHING`); reviews/farewell.py does what has to
be done. A query of reviews may join both, but then the rows are brought together for
it: pages fetch both with `prefetch_related` instead. One of products or of people can't
join reviews, so `related_name="+"` leaves no reverse side to join through by mistake.
"""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from shoal.placement import sharded

from products.models import Product

RATINGS = [(half, f"{half / 2:g}") for half in range(1, 11)]


@sharded(key="product")
class Review(models.Model):
    product = models.ForeignKey(
        Product, models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        null=True,
        blank=True,
        help_text="Empty when the person has left.",
    )
    half_stars = models.PositiveSmallIntegerField(
        "rating",
        choices=RATINGS,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
    )
    text = models.TextField(blank=True, max_length=5000)
    generated = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=["product", "author"], name="one_review_per_person_and_product"
            ),
            models.CheckConstraint(
                condition=models.Q(half_stars__range=(1, 10)),
                name="rating_in_half_stars",
            ),
        )
        indexes = (
            models.Index(fields=["product", "-created", "-id"], name="review_product"),
            models.Index(fields=["author", "-created", "-id"], name="review_author"),
            models.Index(fields=["-created", "-id"], name="review_latest"),
        )

    def __str__(self) -> str:
        return f"{self.half_stars / 2:g} stars for product {self.product_id}"
