from django.db import models


class Product(models.Model):
    """Lives on `catalog`."""

    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name
