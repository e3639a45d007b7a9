"""Takes reviews, gives their count and average, and keeps the products' copy of them.

The copy (see products.models.Product) is written on another server than the review, so
after its commit. It is always a full count made while the product's row is locked:
of two people who write at the same time the later one counts both. A product's reviews
are on one shard, so that counts them alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import connections, router, transaction
from django.db.models import Count, Sum

from products.models import Product
from reviews.models import Review

REFRESH_ALL = """
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


def refresh(product_ids: Iterable[int]) -> None:
    """Bring the copy on these products up to date."""
    alias = router.db_for_write(Product)
    for product_id in sorted(set(product_ids)):
        with transaction.atomic(using=alias):
            products = Product.objects.using(alias).select_for_update()
            if (product := products.filter(pk=product_id).first()) is None:
                continue
            counted = Review.objects.filter(product_id=product_id).aggregate(
                count=Count("id"), total=Sum("half_stars", default=0)
            )
            Product.objects.using(alias).filter(pk=product.pk).update(
                review_count=counted["count"], rating_sum=counted["total"]
            )


def refresh_after_commit(product_ids: Iterable[int]) -> None:
    """A products server that is down doesn't take the written review back."""
    ids = list(product_ids)
    transaction.on_commit(
        lambda: refresh(ids), using=router.db_for_write(Review), robust=True
    )


def refresh_all() -> int:
    """
    Bring every product's copy up to date; say how many were wrong.

    Nothing is locked, so a review written meanwhile may be missed until the next one.
    """
    by_product = Review.objects.order_by().values_list("product_id")
    counted = by_product.annotate(Count("id"), Sum("half_stars"))
    columns = [list(column) for column in zip(*counted, strict=True)] or [[], [], []]
    with connections[router.db_for_write(Product)].cursor() as cursor:
        cursor.execute(REFRESH_ALL, columns)
        return int(cursor.rowcount)
