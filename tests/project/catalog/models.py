"""Products: on the cluster `catalog`, which has replicas."""

from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=200)
    tags = models.ManyToManyField(Tag, related_name="products")

    def __str__(self) -> str:
        return self.name


class Bundle(Product):
    discount = models.IntegerField(default=0)


class NamedProduct(Product):
    class Meta:
        proxy = True
