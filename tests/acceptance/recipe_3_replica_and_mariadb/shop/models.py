from django.db import models


class Order(models.Model):
    """Lives on `main`, and on its replica for reading."""

    item = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self):
        return self.item
