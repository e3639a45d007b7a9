"""Takes a review that a process began to write, asks each server what it knows of it.

The primaries are asked, each for itself: what they say is what anybody would see who
came now. And takes nothing, gives what is in doubt, as `manage.py shoal status` does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import Count, Sum
from shoal.placement import shard_of
from shoal.transactions.in_doubt import Branch
from shoal.transactions.reaching import Reach, primaries
from shoal.transactions.recovering import look

from accounts.models import User
from crashing.killing import Attempt
from products.models import Product
from reviews.models import Review

T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    count: int
    total: int
    """Half stars."""

    @property
    def average(self) -> float | None:
        return self.total / self.count if self.count else None


@dataclass(frozen=True)
class Said:
    """What the servers say; `None` stands for a server that does not answer."""

    shard: str
    """Of the film's reviews."""
    film: Product | None
    author: User | None
    reviews: Sequence[Review] | None
    """The review, if it is there."""
    on_shard: Figures | None
    by_author: int | None
    """How many reviews of this author all shards have."""

    @property
    def copied(self) -> Figures | None:
        """What the products' server says of the film."""
        film = self.film
        return Figures(film.review_count, film.rating_sum) if film else None

    @property
    def counter(self) -> int | None:
        return self.author.review_count if self.author else None

    @property
    def all_answer(self) -> bool:
        said = (self.film, self.author, self.reviews, self.on_shard, self.by_author)
        return None not in said

    @property
    def agree(self) -> bool:
        return self.on_shard == self.copied and self.by_author == self.counter


@dataclass(frozen=True)
class InDoubt:
    branches: Sequence[Branch] = ()
    down: Mapping[str, str] = field(default_factory=dict)
    """The servers that do not answer, and why."""


def in_doubt() -> InDoubt:
    """Look on every server. A commit that is under way right now may be among them."""
    with Reach() as reach:
        branches = look(reach, [*primaries()])
        return InDoubt(branches, {name: str(why) for name, why in reach.down.items()})


def ask(attempt: Attempt) -> Said:
    reviews = Review.objects.filter(product_id=attempt.film)
    return Said(
        shard=shard_of(Review, attempt.film),
        film=answer(
            lambda: Product.objects.using("products").filter(pk=attempt.film).first()
        ),
        author=answer(
            lambda: User.objects.using("accounts").filter(pk=attempt.author).first()
        ),
        reviews=answer(lambda: list(reviews.filter(author_id=attempt.author))),
        on_shard=answer(lambda: figures_of(reviews)),
        by_author=answer(
            lambda: Review.objects.filter(author_id=attempt.author).count()
        ),
    )


def figures_of(reviews: Any) -> Figures:
    return Figures(
        **reviews.aggregate(count=Count("id"), total=Sum("half_stars", default=0))
    )


def answer(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (OperationalError, InterfaceError):
        return None
