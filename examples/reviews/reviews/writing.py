"""Takes a review that was, and is to be, writes it with all that is counted of it.

A review is on a shard, its film's rating on the products' server, its author's count on
the accounts'. All three are written in one unit of work: all of them, or none.

The figures are added to, never counted afresh: that is right for any number of people
at once, since each adds to what the row has when it is theirs. To count the reviews
again would not be: of another one that commits at this moment, the rating may be seen
already and the review not yet. What is taken off comes from the review's own row, which
is locked.

Every unit goes to the servers in the same order, the reviews' first, and to the rows of
one server by their ids, so that no two of them wait for each other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from copy import copy
from typing import Any

from django.db.models import F
from django.utils import timezone
from shoal.transactions import atomic

from accounts.models import User
from products.models import Product
from reviews.models import Review

CLUSTERS = ("reviews", "products", "accounts")


def keep(product_id: int, author_id: int, written: dict[str, Any]) -> Review:
    """Write a person's review of a film, or change it: there is one at most."""
    with atomic(*CLUSTERS):
        # Two windows that send at the same time: the second one waits for this row.
        review, is_new = Review.objects.select_for_update().get_or_create(
            product_id=product_id, author_id=author_id, defaults=written
        )
        if is_new:
            count(added=[review])
            return review
        before = copy(review)
        for field, value in {**written, "updated": timezone.now()}.items():
            setattr(review, field, value)
        review.save(update_fields=[*written, "updated"])
        count(added=[review], removed=[before])
    return review


def remove(**which: Any) -> int:
    """Delete the reviews that this describes; say how many there were."""
    with atomic(*CLUSTERS):
        found = list(Review.objects.select_for_update().filter(**which).order_by("pk"))
        Review.objects.filter(pk__in=[review.pk for review in found]).delete()
        count(removed=found)
    return len(found)


def count(*, added: Iterable[Review] = (), removed: Iterable[Review] = ()) -> None:
    """Add to the figures of films and people; inside of a unit."""
    ratings: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    people: Counter[int] = Counter()
    for reviews, sign in ((removed, -1), (added, 1)):
        for review in reviews:
            figures = ratings[review.product_id]
            figures[0] += sign
            figures[1] += sign * review.half_stars
            if review.author_id is not None:
                people[review.author_id] += sign
    for product_id, (number, total) in sorted(ratings.items()):
        if number or total:
            Product.objects.filter(pk=product_id).update(
                review_count=F("review_count") + number,
                rating_sum=F("rating_sum") + total,
            )
    for author_id, number in sorted(people.items()):
        if number:
            User.objects.filter(pk=author_id).update(
                review_count=F("review_count") + number
            )
