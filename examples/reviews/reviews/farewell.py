"""Takes products and people that were deleted, tidies what the reviews say of them.

No foreign key reaches from one server to another, so nothing cascades. When a product
goes, its reviews go; when a person goes, the reviews stay without a name. Both happen
after the commit, on another server, and so may fail: pages show what is left over
without harm, and `manage.py reconcile` finishes it.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.signals import post_delete

from products.models import Product
from reviews import writing
from reviews.models import Review


def listen() -> None:
    post_delete.connect(product_gone, sender=Product)
    post_delete.connect(person_gone, sender=get_user_model())


def product_gone(instance: Product, using: str, **_: Any) -> None:
    gone = instance.pk

    def tidy() -> None:
        writing.remove(product_id=gone)

    transaction.on_commit(tidy, using=using, robust=True)


def person_gone(instance: Any, using: str, **_: Any) -> None:
    gone = instance.pk

    def tidy() -> None:
        Review.objects.filter(author_id=gone).update(author=None)

    transaction.on_commit(tidy, using=using, robust=True)
