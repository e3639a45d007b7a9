from django.db import models


class Review(models.Model):
    """Lives on `reviews`. Knows its author by name; the account is elsewhere."""

    author = models.CharField(max_length=150)
    text = models.CharField(max_length=200)

    def __str__(self):
        return self.text
