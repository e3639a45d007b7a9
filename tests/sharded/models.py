"""Products and their reviews: every way in which rows can lie on a sharded cluster."""

import uuid

from django.db import models
from django.db.models.functions import Now

from shoal.placement import reference, sharded


class Model(models.Model):
    """Says which app it is of, since the app is installed for these tests only."""

    class Meta:
        abstract = True
        app_label = "sharded"

    def __str__(self):
        return f"{self._meta.model_name} {self.pk}"


class Tag(Model):
    """Lies by its own primary key, like all that declare nothing."""

    name = models.CharField(max_length=20)


@reference
class Category(Model):
    """On every shard."""

    name = models.CharField(max_length=20)
    rank = models.IntegerField(null=True)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="subs")
    tags = models.ManyToManyField(Tag, related_name="categories")


class Product(Model):
    name = models.CharField(max_length=20)
    category = models.ForeignKey(
        Category, models.CASCADE, null=True, related_name="products"
    )
    rival = models.ForeignKey("self", models.SET_NULL, null=True, related_name="rivals")
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    weight = models.FloatField(null=True)
    active = models.BooleanField(default=True)
    added = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    data = models.JSONField(null=True)
    tags = models.ManyToManyField(Tag, related_name="products")


class Cheap(Product):
    """A proxy: its rows are those of `Product`."""

    class Meta:
        proxy = True
        app_label = "sharded"


class Book(Product):
    """A child: its rows lie with those of their parents."""

    pages = models.IntegerField(null=True)
    sequel = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")


class Country(Model):
    """A text for a primary key."""

    code = models.CharField(max_length=20, primary_key=True)
    name = models.CharField(max_length=20)


class Author(Model):
    """A UUID for a primary key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)
    country = models.ForeignKey(
        Country, models.CASCADE, null=True, related_name="authors"
    )
    favourite = models.ForeignKey(
        Product, models.SET_NULL, null=True, related_name="fans"
    )


@sharded(key="product")
class Review(Model):
    """Lies with its product."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="reviews")
    author = models.ForeignKey(
        Author, models.SET_NULL, null=True, related_name="reviews"
    )
    answers = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="answered"
    )
    stars = models.IntegerField(null=True)
    text = models.TextField(blank=True)
    written = models.DateTimeField(db_default=Now())


class Stock(Model):
    """Several columns for a primary key, one of which is a foreign key."""

    pk = models.CompositePrimaryKey("product_id", "shelf")
    product = models.ForeignKey(Product, models.CASCADE, related_name="stocks")
    shelf = models.CharField(max_length=20)
    amount = models.IntegerField(default=0)


class Holiday(Model):
    """A primary key that gives no bucket: on the home shard."""

    day = models.DateField(primary_key=True)
    name = models.CharField(max_length=20)


MODELS = (
    Tag,
    Category,
    Product,
    Book,
    Country,
    Author,
    Review,
    Stock,
    Holiday,
)
"""In an order in which rows can be written: what is pointed to comes first."""
