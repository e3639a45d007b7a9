"""Takes staff, lets them edit reviews of products and by people of other servers.

A list of reviews names its products and authors, but can't join them: they are
fetched by their ids for the whole page at once. A search for a product's title asks
the products' server for ids first.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import User
from products.models import Product
from reviews.figures import refresh_after_commit
from reviews.models import Review
from reviews.reading import with_authors, with_products

MOST_MATCHES = 1000


class ReviewList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        reviews = list(self.result_list)
        products, authors = with_products(reviews), with_authors(reviews)
        for review in reviews:
            review.shown_product = products.get(review.product_id, "(deleted)")
            review.shown_author = authors.get(review.author_id, "(left)")
        self.result_list = reviews


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    list_display = ("id", "product_title", "author_name", "half_stars", "created")
    list_filter = ("half_stars", "generated")
    search_fields = ("text",)
    search_help_text = "Words of the review, or the title of a film, or a user name"
    autocomplete_fields = ("product", "author")
    list_per_page = 50
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return ReviewList

    @admin.display(description="product")
    def product_title(self, review: Review) -> str:
        return str(review.shown_product)  # type: ignore[attr-defined]

    @admin.display(description="author")
    def author_name(self, review: Review) -> str:
        return str(review.shown_author)  # type: ignore[attr-defined]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Review], search_term: str
    ) -> tuple[QuerySet[Review], bool]:
        if not search_term.strip():
            return queryset, False
        products = Product.objects.search(search_term).values_list("pk", flat=True)
        authors = User.objects.filter(username__iexact=search_term.strip())
        found = (
            Q(text__icontains=search_term)
            | Q(product_id__in=list(products[:MOST_MATCHES]))
            | Q(author_id__in=list(authors.values_list("pk", flat=True)))
        )
        return queryset.filter(found), False

    def save_model(
        self, request: HttpRequest, obj: Review, form: Any, change: bool
    ) -> None:
        before = form.initial.get("product")
        super().save_model(request, obj, form, change)
        refresh_after_commit({obj.product_id, *([before] if before else [])})

    def delete_model(self, request: HttpRequest, obj: Review) -> None:
        super().delete_model(request, obj)
        refresh_after_commit([obj.product_id])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> None:
        ids = list(queryset.values_list("product_id", flat=True).distinct())
        super().delete_queryset(request, queryset)
        refresh_after_commit(ids)
