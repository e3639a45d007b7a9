"""Takes reviews, gives their count and average, and counts all of them afresh.

The products' copy of these figures, and the people's, are kept by reviews/writing.py,
one review after the other. They are counted here where many have been loaded past it,
or a server was down: by `manage.py load_ratings` and `manage.py reconcile`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connections, router
from django.db.models import Count, Model, Sum

from accounts.models import User
from products.models import Product
from reviews.models import Review

REFRESH_PRODUCTS = """
UPDATE products_product AS product
   SET review_count = counted.count, rating_sum = counted.total
  FROM (SELECT id, coalesce(f.count, 0) AS count, coalesce(f.total, 0) AS total
          FROM products_product
          LEFT JOIN unnest(%s::bigint[], %s::int[], %s::int[]) AS f(id, count, total)
         USING (id)) AS counted
 WHERE counted.id = product.id
   AND (product.review_count, product.rating_sum)
       IS DISTINCT FROM (counted.count, counted.total)
"""
REFRESH_PEOPLE = """
UPDATE accounts_user AS person
   SET review_count = counted.count
  FROM (SELECT id, coalesce(f.count, 0) AS count
          FROM accounts_user
          LEFT JOIN unnest(%s::bigint[], %s::int[]) AS f(id, count)
         USING (id)) AS counted
 WHERE counted.id = person.id AND person.review_count <> counted.count
"""


@dataclass(frozen=True)
class Bar:
    half_stars: int
    count: int
    percent: float


@dataclass(frozen=True)
class Distribution:
    counts: Mapping[int, int]
    """How many reviews gave 1, 2, … 10 half stars."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def average(self) -> float | None:
        """In half stars."""
        weighed = sum(half * count for half, count in self.counts.items())
        return weighed / self.total if self.total else None

    @property
    def bars(self) -> list[Bar]:
        """Best first; empty steps too."""
        total = self.total or 1
        counts = [(half, self.counts.get(half, 0)) for half in range(10, 0, -1)]
        return [Bar(half, count, 100 * count / total) for half, count in counts]


def distribution_of(product_id: int) -> Distribution:
    rows = Review.objects.filter(product_id=product_id).order_by()
    counted = rows.values_list("half_stars").annotate(Count("id"))
    return Distribution(dict(counted))


def refresh_products() -> int:
    """
    Bring every product's copy up to date; say how many were wrong.

    Nothing is locked, so a review written meanwhile may be missed until the next one.
    """
    by_product = Review.objects.order_by().values_list("product_id")
    counted = by_product.annotate(Count("id"), Sum("half_stars"))
    return _refresh(Product, REFRESH_PRODUCTS, list(counted), 3)


def refresh_people() -> int:
    """Bring every person's count up to date, as `refresh_products` does."""
    named = Review.objects.filter(author__isnull=False).order_by()
    counted = named.values_list("author_id").annotate(Count("id"))
    return _refresh(User, REFRESH_PEOPLE, list(counted), 2)


def _refresh(
    model: type[Model], sql: str, rows: Sequence[Sequence[object]], width: int
) -> int:
    columns = [[row[at] for row in rows] for at in range(width)]
    with connections[router.db_for_write(model)].cursor() as cursor:
        cursor.execute(sql, columns)
        return int(cursor.rowcount)
