from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=50, unique=True)
    count = models.IntegerField(default=1)

    def __str__(self):
        return self.name
