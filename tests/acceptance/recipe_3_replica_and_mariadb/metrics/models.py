from django.db import models


class Event(models.Model):
    """Lives on `analytics`. Knows the order by its number; no join reaches it."""

    name = models.CharField(max_length=50)
    order_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.name
