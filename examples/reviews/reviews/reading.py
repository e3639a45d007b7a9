"""Takes a product or a person, gives a page of reviews with whom and what they are of.

A product's reviews come from one shard. Of a person's and of the latest, every shard
sends its own, and Shoal merges them. A shard that is down gives an empty shelf that
says so, since everything else can still be shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.paginator import Page
from django.db import InterfaceError, OperationalError
from django.db.models import Count, Sum, prefetch_related_objects
from django.http import HttpRequest

from accounts.models import User
from products.models import Product
from reviews.figures import Distribution, distribution_of
from reviews.models import Review
from reviewsite.paging import page_of


@dataclass(frozen=True)
class Shelf:
    reviews: list[Review] = field(default_factory=list)
    page: Page[Any] | None = None
    own: Review | None = None
    distribution: Distribution | None = None
    average: float | None = None
    """In half stars."""
    reachable: bool = True

    def __iter__(self) -> Iterator[Review]:
        return iter(self.reviews)

    @property
    def total(self) -> int:
        return self.page.paginator.count if self.page else 0


UNREACHABLE = Shelf(reachable=False)


def latest_reviews(count: int) -> Shelf:
    newest = Review.objects.order_by("-created", "-pk")[:count]
    try:
        return Shelf(list(newest.prefetch_related("product", "author")))
    except (OperationalError, InterfaceError):
        return UNREACHABLE


def reviews_of(request: HttpRequest, product: Product, size: int) -> Shelf:
    # Asked for here, since what fails below is the shard of these reviews.
    reader = request.user.pk
    try:
        distribution = distribution_of(product.pk)
        rows = Review.objects.filter(product=product)
        page = page_of(request, rows, size, count=distribution.total)
        reviews = list(page.object_list)
        own = own_review(product.pk, reader)
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    prefetch_related_objects(reviews, "author")
    return Shelf(reviews, page=page, own=own, distribution=distribution)


def own_review(product_id: int, author_id: int | None) -> Review | None:
    if author_id is None:
        return None
    return Review.objects.filter(product_id=product_id, author_id=author_id).first()


def reviews_by(request: HttpRequest, person: User, size: int) -> Shelf:
    rows = Review.objects.filter(author=person)
    try:
        figures = rows.aggregate(count=Count("id"), total=Sum("half_stars"))
        count = figures["count"]
        page = page_of(request, rows, size, count=count)
        reviews = list(page.object_list)
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    prefetch_related_objects(reviews, "product")
    average = figures["total"] / count if count else None
    return Shelf(reviews, page=page, average=average)
