from django.db import models


class Event(models.Model):
    """Lives on `metrics`."""

    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name
