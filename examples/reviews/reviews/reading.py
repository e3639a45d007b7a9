"""Takes a product or a person, gives a page of reviews with whom and what they are of.

The reviews come from one server; then products and people are fetched by their ids,
one query each, from theirs. A server of reviews that is down gives an empty shelf
that says so, since everything else can still be shown.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.core.paginator import Page
from django.db import InterfaceError, OperationalError
from django.db.models import Avg
from django.http import HttpRequest

from accounts.models import User
from products.models import Product
from reviews.figures import Distribution, distribution_of
from reviews.models import Review
from reviewsite.paging import page_of


@dataclass(frozen=True)
class Entry:
    review: Review
    product: Product | None = None
    """None: not asked for, or deleted since."""
    author: User | None = None


@dataclass(frozen=True)
class Shelf:
    entries: list[Entry] = field(default_factory=list)
    page: Page[Any] | None = None
    own: Review | None = None
    distribution: Distribution | None = None
    average: float | None = None
    """In half stars."""
    reachable: bool = True

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def total(self) -> int:
        return self.page.paginator.count if self.page else 0


LOOK_BACK = 20
UNREACHABLE = Shelf(reachable=False)


def with_products(reviews: Iterable[Review]) -> dict[int, Product]:
    return Product.objects.in_bulk({review.product_id for review in reviews})


def with_authors(reviews: Iterable[Review]) -> dict[int | None, User]:
    ids = {review.author_id for review in reviews if review.author_id is not None}
    return get_user_model().objects.in_bulk(ids)


def latest_reviews(count: int) -> Shelf:
    """Give the latest, of different people as long as there are enough."""
    newest = Review.objects.order_by("-created", "-id")
    try:
        recent = list(newest[: LOOK_BACK * count])
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    first_of = {review.author_id: review for review in reversed(recent)}
    leading = [review for review in recent if first_of[review.author_id] is review]
    others = [review for review in recent if first_of[review.author_id] is not review]
    reviews = (leading + others)[:count]
    products, authors = with_products(reviews), with_authors(reviews)
    return Shelf(
        [
            Entry(r, products.get(r.product_id), authors.get(r.author_id))
            for r in reviews
        ]
    )


def reviews_of(request: HttpRequest, product: Product, size: int) -> Shelf:
    # Asked for here, since what fails below is the server of reviews and no other.
    reader = request.user.pk
    try:
        distribution = distribution_of(product.pk)
        rows = Review.objects.filter(product_id=product.pk)
        page = page_of(request, rows, size, count=distribution.total)
        reviews = list(page.object_list)
        own = own_review(product.pk, reader)
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    authors = with_authors(reviews)
    return Shelf(
        [Entry(r, product, authors.get(r.author_id)) for r in reviews],
        page=page,
        own=own,
        distribution=distribution,
    )


def own_review(product_id: int, author_id: int | None) -> Review | None:
    if author_id is None:
        return None
    return Review.objects.filter(product_id=product_id, author_id=author_id).first()


def reviews_by(request: HttpRequest, person: User, size: int) -> Shelf:
    rows = Review.objects.filter(author_id=person.pk)
    try:
        page = page_of(request, rows, size)
        reviews = list(page.object_list)
        average = rows.aggregate(value=Avg("half_stars"))["value"]
    except (OperationalError, InterfaceError):
        return UNREACHABLE
    products = with_products(reviews)
    return Shelf(
        [Entry(r, products.get(r.product_id), person) for r in reviews],
        page=page,
        average=average,
    )
