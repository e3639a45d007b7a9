"""Takes the address of a search, gives the products that match, in order."""

from django import forms
from django.db.models import F, OrderBy

from products.models import Genre, Product, ProductQuerySet

ORDERS = [
    ("popular", "Most reviewed"),
    ("rating", "Best rated"),
    ("new", "Newest"),
    ("title", "Title A to Z"),
]


class SearchForm(forms.Form):
    q = forms.CharField(
        label="Search",
        required=False,
        max_length=100,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "Title or year"}
        ),
    )
    genre = forms.ModelChoiceField(
        Genre.objects.all(),
        label="Genre",
        required=False,
        empty_label="All genres",
        to_field_name="name",
    )
    order = forms.ChoiceField(label="Order", required=False, choices=ORDERS)

    def found(self) -> ProductQuerySet:
        """Ignore what doesn't make sense: an address may be old, or typed by hand."""
        self.is_valid()
        asked = self.cleaned_data
        products = Product.objects.search(asked.get("q") or "")
        if genre := asked.get("genre"):
            products = products.filter(genres=genre)
        return in_order(products, asked.get("order") or "popular")


def in_order(products: ProductQuerySet, order: str) -> ProductQuerySet:
    if order == "rating":
        return products.by_rating()
    fields: dict[str, list[str | OrderBy]] = {
        "popular": ["-review_count", "id"],
        "new": [F("year").desc(nulls_last=True), "-review_count", "id"],
        "title": ["sort_title", "id"],
    }
    return products.order_by(*fields[order])
