from django.db import models


class Order(models.Model):
    article = models.CharField(max_length=100)
    number = models.PositiveIntegerField()

    def __str__(self):
        return f"{self.number} of {self.article}"


class Stock(models.Model):
    """Lives on `stock`."""

    article = models.CharField(max_length=100, unique=True)
    left = models.IntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(left__gte=0), name="stock_is_left"
            ),
        ]

    def __str__(self):
        return f"{self.left} of {self.article}"
