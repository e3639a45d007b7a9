"""The lookups of each model that drawn queries use: own and related."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Path:
    name: str
    type: str
    """`int`, `text`, `decimal`, `float`, `bool`, `date`, `time`, `json`, or a model."""
    is_many: bool = False
    """Whether one row may have several of it."""


def _paths(text: str) -> tuple[Path, ...]:
    found: list[Path] = []
    for line in text.split("\n"):
        kind, _, names = line.strip().partition(": ")
        found += [Path(n.rstrip("*"), kind, n.endswith("*")) for n in names.split()]
    return tuple(found)


PATHS = {
    "Review": _paths(
        """int: stars product__category__rank answers__stars answered__stars*
        text: text product__name product__category__name product__tags__name*
        text: product__category__parent__name author__name author__country__name
        text: author__country__code product__rival__name product__fans__name*
        decimal: product__price author__favourite__price product__rival__price
        float: product__weight
        bool: product__active
        date: product__day
        time: written product__added
        json: product__data
        Review: pk answers
        Product: product product__rival author__favourite
        Author: author answers__author
        Category: product__category
        Country: author__country"""
    ),
    "Product": _paths(
        """int: category__rank reviews__stars* stocks__amount* book__pages
        text: name category__name category__parent__name rival__name rivals__name*
        text: reviews__text* reviews__author__name* tags__name* fans__name*
        text: stocks__shelf* category__tags__name* fans__country__name*
        decimal: price rival__price
        float: weight rival__weight
        bool: active rival__active
        date: day
        time: added reviews__written*
        json: data
        Product: pk rival rivals*
        Category: category
        Tag: tags* category__tags*
        Author: reviews__author* fans*
        Review: reviews*"""
    ),
    "Book": _paths(
        """int: pages sequel__pages category__rank reviews__stars*
        text: name category__name sequel__name tags__name*
        decimal: price sequel__price
        float: weight
        bool: active
        date: day
        Product: product_ptr rival
        Category: category
        Book: pk sequel"""
    ),
    "Author": _paths(
        """int: reviews__stars* favourite__category__rank
        text: name country__name country__code favourite__name reviews__product__name*
        decimal: favourite__price
        bool: favourite__active
        time: reviews__written*
        Author: pk
        Country: country
        Product: favourite reviews__product*"""
    ),
    "Category": _paths(
        """int: rank parent__rank subs__rank* products__reviews__stars*
        text: name parent__name subs__name* products__name* tags__name*
        decimal: products__price*
        Category: pk parent
        Tag: tags*
        Product: products*"""
    ),
    "Tag": _paths(
        """text: name categories__name* products__name*
        decimal: products__price*
        int: products__reviews__stars*
        Tag: pk
        Product: products*
        Category: categories*"""
    ),
    "Country": _paths(
        """text: code name authors__name*
        int: authors__reviews__stars*
        Country: pk
        Author: authors*"""
    ),
    "Stock": _paths(
        """int: amount
        text: shelf product__name
        decimal: product__price
        Product: product product__rival"""
    ),
    "Holiday": _paths(
        """text: name
        date: day"""
    ),
}
LINKS = {
    "Review": {"product": "Product", "answers": "Review", "author": "Author"},
    "Product": {"category": "Category", "rival": "Product"},
    "Book": {"category": "Category", "sequel": "Book", "product_ptr": "Product"},
    "Author": {"country": "Country", "favourite": "Product"},
    "Category": {"parent": "Category"},
    "Stock": {"product": "Product"},
}
"""Foreign keys of each model, for subqueries."""
SETS = {
    "Review": ("answered",),
    "Product": ("reviews", "tags", "rivals", "fans"),
    "Book": ("reviews", "tags"),
    "Author": ("reviews",),
    "Category": ("products", "tags", "subs"),
    "Tag": ("products", "categories"),
    "Country": ("authors",),
}
"""What can be prefetched."""
MODEL_OF = {
    "answered": "Review",
    "authors": "Author",
    "categories": "Category",
    "fans": "Author",
    "products": "Product",
    "reviews": "Review",
    "rivals": "Product",
    "subs": "Category",
    "tags": "Tag",
}
