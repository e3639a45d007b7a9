"""Takes nothing, makes the three clusters agree again after a server was down.

Removes reviews of films that are gone, takes the name off reviews of people who are
gone, and counts every film's reviews afresh. May be run at any time, and again.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import router
from django.db.models import Model

from products.models import Product
from reviews.figures import refresh_all
from reviews.models import Review
from reviews.shards import ask_every_shard


class Command(BaseCommand):
    help = "Make films, reviews and accounts agree after a server was down."

    def handle(self, **_: Any) -> None:
        orphans = gone(Product, named_in("product_id"))
        removed, _by_model = Review.objects.filter(product_id__in=orphans).delete()
        left = gone(get_user_model(), named_in("author_id") - {None})
        unnamed = Review.objects.filter(author_id__in=left).update(author=None)
        counted = refresh_all()
        self.stdout.write(f"{removed} reviews of films that are gone: removed")
        self.stdout.write(f"{unnamed} reviews by people who are gone: name taken off")
        self.stdout.write(f"{counted} films whose average was behind: counted afresh")


def named_in(column: str) -> set[Any]:
    """Collect the ids that reviews name, from each shard without the reviews."""
    sql = f"SELECT DISTINCT {column} FROM reviews_review"
    return {value for (value,) in ask_every_shard(sql)}


def gone(model: type[Model], ids: set[int]) -> set[int]:
    """Find the ids that no row has. Asks the primary: a replica may not know it yet."""
    rows = model._default_manager.using(router.db_for_write(model))
    return ids - set(rows.values_list("pk", flat=True))
