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


class Command(BaseCommand):
    help = "Make films, reviews and accounts agree after a server was down."

    def handle(self, **_: Any) -> None:
        orphans = gone(
            Product,
            set(
                Review.objects.order_by()
                .values_list("product_id", flat=True)
                .distinct()
            ),
        )
        removed, _by_model = Review.objects.filter(product_id__in=orphans).delete()
        authors = Review.objects.exclude(author=None).order_by()
        left = gone(
            get_user_model(),
            set(authors.values_list("author_id", flat=True).distinct()),
        )
        unnamed = Review.objects.filter(author_id__in=left).update(author=None)
        counted = refresh_all()
        self.stdout.write(f"{removed} reviews of films that are gone: removed")
        self.stdout.write(f"{unnamed} reviews by people who are gone: name taken off")
        self.stdout.write(f"{counted} films whose average was behind: counted afresh")


def gone(model: type[Model], ids: set[int]) -> set[int]:
    """Find the ids that no row has. Asks the primary: a replica may not know it yet."""
    rows = model._default_manager.using(router.db_for_write(model))
    return ids - set(rows.values_list("pk", flat=True))
