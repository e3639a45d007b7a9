"""What can be reviewed: the cluster "products", read from two replicas."""

from typing import Any

from django.db import models
from django.db.models.functions import Cast
from django.urls import reverse

from products.titles import search_form

# A film with few ratings is drawn towards this one, so that a single five-star rating
# doesn't lead the list: ten ratings of three and a half stars.
PRIOR_COUNT, PRIOR_SUM = 10, 70


class Genre(models.Model):
    name = models.CharField(max_length=40, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class ProductQuerySet(models.QuerySet["Product"]):
    def search(self, text: str) -> "ProductQuerySet":
        found = self
        for word in search_form(text).split():
            found = found.filter(search_text__contains=word)
        return found

    def by_rating(self) -> "ProductQuerySet":
        total = Cast(models.F("rating_sum") + PRIOR_SUM, models.FloatField())
        score = total / (models.F("review_count") + PRIOR_COUNT)
        return self.order_by(score.desc(), "-review_count", "id")


class Product(models.Model):
    """
    A film.

    `review_count` and `rating_sum` are a copy. The reviews live on another server, so
    no query can sort or page films by them; and films must be browsable while that
    server is down. The copy is written in the same unit of work as the review, on both
    servers or on neither (see reviews/writing.py).
    """

    title = models.CharField(max_length=250)
    sort_title = models.CharField(
        max_length=250, blank=True, help_text="As in a catalogue: Matrix, The"
    )
    search_text = models.CharField(max_length=600, editable=False)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    genres = models.ManyToManyField(Genre, blank=True, related_name="products")
    review_count = models.PositiveIntegerField(default=0, editable=False)
    rating_sum = models.PositiveIntegerField(
        default=0, editable=False, help_text="In half stars."
    )

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ("sort_title", "id")
        indexes = (
            models.Index(fields=["-review_count", "id"], name="product_popular"),
            models.Index(fields=["sort_title", "id"], name="product_title"),
            models.Index(fields=["-year", "id"], name="product_year"),
        )

    def __str__(self) -> str:
        return f"{self.title} ({self.year})" if self.year else self.title

    def save(self, **options: Any) -> None:
        self.sort_title = self.sort_title or self.title
        self.search_text = search_form(f"{self.title} {self.year or ''}")
        super().save(**options)

    def get_absolute_url(self) -> str:
        return reverse("product", args=[self.pk])

    @property
    def average(self) -> float | None:
        """In half stars, from the copy."""
        return self.rating_sum / self.review_count if self.review_count else None
