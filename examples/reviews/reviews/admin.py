"""Takes staff, lets them edit reviews of products and by people of other servers.

The list fetches both for the reviews of one page: to sort by a title, or to search for
one in a join, would need every review beside every film. So a search asks the server of
the products for ids first.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from shoal.transactions import atomic

from accounts.models import User
from products.models import Product
from reviews import writing
from reviews.models import Review

MOST_MATCHES = 1000


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    list_display = ("product", "author", "half_stars", "created")
    # Nothing is joined: the default joins whatever is listed.
    list_select_related = ()
    sortable_by = ("half_stars", "created")
    list_filter = ("half_stars", "created", "generated")
    search_fields = ("text",)
    search_help_text = "Words of the review, or the title of a film, or a user name."
    fields = (
        *("product", "author", "half_stars", "text"),
        *("generated", "created", "updated"),
    )
    autocomplete_fields = ("product", "author")
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Review]:
        return super().get_queryset(request).prefetch_related("product", "author")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Review | None = None
    ) -> tuple[str, ...]:
        """A review stays with its product: its id says on which shard it is."""
        return ("product",) if obj else ()

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

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        with unit_of(request):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        with unit_of(request):
            return super().delete_view(request, object_id, extra_context)

    def save_model(
        self, request: HttpRequest, obj: Review, form: Any, change: bool
    ) -> None:
        before = Review.objects.select_for_update().filter(pk=obj.pk)
        removed = list(before) if change else []
        super().save_model(request, obj, form, change)
        writing.count(added=[obj], removed=removed)

    def delete_model(self, request: HttpRequest, obj: Review) -> None:
        writing.remove(pk=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> None:
        writing.remove(pk__in=list(queryset.values_list("pk", flat=True)))


def unit_of(request: HttpRequest) -> AbstractContextManager[None]:
    """
    Enter the unit of work outside of the admin's own transaction on the reviews.

    So the admin's log of a change, on the accounts' server, is a part of it too.
    """
    if request.method == "POST":
        return atomic(*writing.CLUSTERS)
    return nullcontext()
