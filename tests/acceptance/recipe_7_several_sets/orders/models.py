from django.db import models


class Order(models.Model):
    """Lives on `orders`."""

    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name
