"""The people who read and write: the cluster "accounts"."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.urls import reverse


class User(AbstractUser):
    display_name = models.CharField(
        "name shown to others", max_length=60, blank=True, help_text="Up to 60 letters."
    )
    generated = models.BooleanField(
        default=False, help_text="Made up by load_ratings to have more data."
    )
    review_count = models.PositiveIntegerField(
        "reviews",
        default=0,
        editable=False,
        help_text="Written together with each review: see reviews/writing.py.",
    )

    def __str__(self) -> str:
        return self.display_name or self.username

    def get_absolute_url(self) -> str:
        return reverse("person", args=[self.username])
