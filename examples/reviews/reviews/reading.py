"""Takes a product or a person, gives a page of reviews with whom and what they are of.

A product's reviews come from one shard, a person's from all of them, the latest too: as
few rows as each shard may have to send. A shard that is down gives an empty shelf that
says so, since everything else can still be shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.paginator import Page
from django.db import InterfaceError, OperationalError
from django.db.models import Avg, Count, QuerySet, prefetch_related_objects
from django.http import HttpRequest

from accounts.models import User
from products.models import Product
from reviews.figures import Distribution, distribution_of
from reviews.models import Review
from reviews.shards import ask_every_shard
from reviewsite.paging import page_of

LOOK_BACK = 20
NTH_LATEST = """
SELECT created FROM reviews_review ORDER BY created DESC, id DESC LIMIT 1 OFFSET %s
"""


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
    """Give the latest, of different people as long as there are enough."""
    try:
        newest = among_latest(Review.objects.all(), LOOK_BACK * count)
        recent = list(newest.select_related("product", "author")[: LOOK_BACK * count])
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    first_of = {review.author_id: review for review in reversed(recent)}
    leading = [review for review in recent if first_of[review.author_id] is review]
    others = [review for review in recent if first_of[review.author_id] is not review]
    return Shelf((leading + others)[:count])


def among_latest(reviews: QuerySet[Review], count: int) -> QuerySet[Review]:
    """
    Leave out what can't be among the `count` latest of all reviews.

    Each shard says when its `count`-th latest was written. Since the last of these
    moments there are as many reviews at least, and on no shard more, but for ties. Only
    those are sent; without it, each shard would send all that it has.
    """
    nth = [created for (created,) in ask_every_shard(NTH_LATEST, [count - 1])]
    return reviews.filter(created__gte=max(nth)) if nth else reviews


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
        figures = rows.aggregate(count=Count("id"), average=Avg("half_stars"))
        page = page_of(request, rows, size, count=figures["count"])
        reviews = list(page.object_list)
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    prefetch_related_objects(reviews, "product")
    return Shelf(reviews, page=page, average=figures["average"])
