"""
Queries in, rows out: what a sharded alias answers, on SQLite files.

Whatever `make fuzz` finds becomes a case here. `q` is the queryset of all rows.
"""

from typing import Any

import pytest
from tests.sharded.answers import answer
from tests.sharded.models import Category, Product, Review
from tests.sharded.shop import SHOP
from tests.sharded.stored import misplaced

READS: list[tuple[str, Any]] = [
    # Order, slices, nulls.
    (
        "q(Product).order_by('price', '-pk').values_list('name', flat=True)",
        ["p1", "p2", "p0", "p3"],
    ),
    (
        "q(Product).order_by(F('price').desc(nulls_last=True), 'pk')"
        ".values_list('name', flat=True)[1:3]",
        ["p0", "p2"],
    ),
    ("q(Product).order_by('pk').reverse()[0].name", "p3"),
    ("q(Product).order_by('pk').last().name", "p3"),
    # What pins a shard, and what only seems to.
    ("q(Product).filter(pk=pk(Product, 2)).get().name", "p2"),
    ("q(Product).exclude(pk=pk(Product, 2)).count()", 3),
    ("q(Product).filter(Q(pk=pk(Product, 1)) | Q(name='p3')).count()", 2),
    ("q(Product).filter(~(~Q(pk=pk(Product, 1)))).get().name", "p1"),
    ("q(Product).filter(pk__in=[]).count()", 0),
    ("q(Product).filter(pk__in=[None, pk(Product, 0)]).get().name", "p0"),
    ("q(Review).filter(product=None).count()", 0),
    ("q(Review).filter(product__in=q(Product).filter(name='p0')).count()", 2),
    # Relations, forward and back.
    (
        "q(Category).filter(products__reviews__stars=5).order_by('pk')"
        ".values_list('name', flat=True)",
        ["tools", "tools"],
    ),
    ("q(Product).filter(rival__rival__name='p0').get().name", "p2"),
    ("q(Author).filter(reviews__product__book__pages=7).get().name", "bob"),
    ("q(Tag).filter(products__category__name='tools').count()", 2),
    ("q(Product).filter(tags__name='red', tags__products__name='p2').count()", 2),
    ("q(Country).get(authors__reviews__stars=1).name", "Germany"),
    ("q(Stock).filter(product__category__rank=1).aggregate(x=Sum('amount'))", {"x": 7}),
    # Aggregates and groups.
    (
        "q(Review).aggregate(a=Avg('stars'), b=Count('author', distinct=True))",
        {"a": 3.5, "b": 2},
    ),
    (
        "q(Category).annotate(x=Count('products__reviews')).order_by('pk')"
        ".values_list('name', 'x')",
        [["tools", 4], ["toys", 1]],
    ),
    (
        "q(Review).values('author__name').annotate(x=Max('stars'))"
        ".order_by('author__name')",
        [
            {"author__name": None, "x": 3},
            {"author__name": "ann", "x": 5},
            {"author__name": "bob", "x": 5},
        ],
    ),
    (
        "q(Product).values('price').annotate(x=Count('pk')).filter(x__gt=1)"
        ".values_list('x', flat=True)",
        [2],
    ),
    ("q(Product).values('category').distinct().count()", 3),
    # Subqueries, windows, sets.
    (
        "q(Product).filter(~Exists(q(Review).filter(product=OuterRef('pk')))).get().name",
        "p2",
    ),
    (
        "q(Product).order_by('pk').annotate(x=Subquery(q(Review)"
        ".filter(product=OuterRef('pk')).order_by('-stars', 'pk').values('text')[:1]))"
        ".values_list('x', flat=True)",
        ["r1", "r3", None, "r5"],
    ),
    (
        "q(Review).annotate(x=Window(RowNumber(), partition_by=F('product'),"
        " order_by='pk')).order_by('pk').values_list('x', flat=True)",
        [1, 2, 1, 1, 2],
    ),
    (
        "q(Product).filter(price__gt=1).values_list('name')"
        ".intersection(q(Product).filter(weight__gt=1).values_list('name'))",
        [["p3"]],
    ),
    (
        "q(Product).values_list('name').union(q(Tag).values_list('name'))"
        ".order_by('name')[2:5]",
        [["p1"], ["p2"], ["p3"]],
    ),
]
KEYS = {
    "Product": [10 * 4096, 11 * 4096 + 1024, 12 * 4096 + 2048, 13 * 4096 + 3072],
}


@pytest.mark.parametrize(("query", "expected"), READS, ids=[q for q, _ in READS])
def test_reads(shop: None, query: str, expected: Any) -> None:
    assert answer(query, SHOP, KEYS) == expected


def test_an_update_of_a_reference_table_by_rows_of_one_shard(shop: None) -> None:
    """Only the copy on that shard was changed."""
    query = "q(Category).filter(products=pk(Product, 3)).update(name='new')"
    assert answer(query, SHOP, KEYS) == 1
    assert misplaced() == []
    query = "q(Category).exclude(products=pk(Product, 3)).update(name='old')"
    assert answer(query, SHOP, KEYS) == 1
    assert misplaced() == []
    assert column(Category, "name") == ["new", "old"]


def column(model: Any, name: str) -> list[Any]:
    return list(model.objects.using(SHOP).order_by("pk").values_list(name, flat=True))


def test_an_update_whose_value_needs_the_type_of_its_field(shop: None) -> None:
    """FieldError, once rows were filtered by another table."""
    of_tools = "q(Product).filter(category__rank=1)"
    query = f"{of_tools}.update(weight=F('weight') + F('price'))"
    assert answer(query, SHOP, KEYS) == 2
    assert column(Product, "weight") == [2.0, 1.5, None, 11.0]
    without_rival = "q(Review).filter(product__rival=None)"
    query = f"{without_rival}.update(text=Concat('text', Value('!')))"
    assert answer(query, SHOP, KEYS) == 4
    assert column(Review, "text") == ["r1!", "r2!", "r3", "r4!", "r5!"]


def test_an_update_of_columns_of_parent_and_child(shop: None) -> None:
    query = "q(Book).filter(reviews__stars=5).update(name='book', pages=F('pages') + 1)"
    assert answer(query, SHOP, KEYS) == 1
    found = answer("q(Book).values_list('name', 'pages')", SHOP, KEYS)
    assert found == [["book", 8]]


def test_a_deletion_by_rows_of_other_tables(shop: None) -> None:
    query = "q(Review).filter(product__tags__name='big').delete()"
    assert answer(query, SHOP, KEYS) == [2, {"sharded.Review": 2}]
    query = "q(Product).filter(reviews__isnull=True).delete()"
    found = answer(query, SHOP, KEYS)
    assert found[1]["sharded.Product"] == 2
    assert answer("q(Product).filter(rival__isnull=False).count()", SHOP, KEYS) == 0
    assert misplaced() == []
