"""Takes nothing, makes the three clusters agree again after a server was down.

Removes reviews of films that are gone, takes the name off reviews of people who are
gone, and counts the reviews of every film and every person afresh. May be run at any
time, and again.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import router
from django.db.models import Model

from products.models import Product
from reviews.figures import refresh_people, refresh_products
from reviews.models import Review


class Command(BaseCommand):
    help = "Make films, reviews and accounts agree after a server was down."

    def handle(self, **_: Any) -> None:
        reviews = Review.objects.order_by()
        films = reviews.values_list("product_id", flat=True).distinct()
        orphans = gone(Product, set(films))
        removed, _by_model = Review.objects.filter(product_id__in=orphans).delete()
        left = gone(get_user_model(), authors())
        unnamed = Review.objects.filter(author_id__in=left).update(author=None)
        films_counted, people_counted = refresh_products(), refresh_people()
        self.stdout.write(f"{removed} reviews of films that are gone: removed")
        self.stdout.write(f"{unnamed} reviews by people who are gone: name taken off")
        self.stdout.write(f"{films_counted} films with a wrong average: counted afresh")
        self.stdout.write(f"{people_counted} people with a wrong count: counted afresh")


def authors() -> set[int]:
    """
    Collect the people that reviews name, shard by shard.

    They review films of all shards, so one query for all of them would bring all
    reviews together to leave out who is there twice.
    """
    named = Review.objects.filter(author__isnull=False).order_by()
    ids = named.values_list("author_id", flat=True).distinct()
    return {id for shard in settings.SHARDS for id in ids.using(shard) if id}


def gone(model: type[Model], ids: set[int]) -> set[int]:
    """Find the ids that no row has. Asks the primary: a replica may not know it yet."""
    rows = model._default_manager.using(router.db_for_write(model))
    return ids - set(rows.values_list("pk", flat=True))
