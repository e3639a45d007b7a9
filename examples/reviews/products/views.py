"""Takes requests for products, gives their pages. The reviews come from elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from products.forms import SearchForm
from products.models import Genre, Product
from reviews.reading import latest_reviews, reviews_of
from reviewsite.paging import page_of

LATEST, POPULAR = 6, 12
PRODUCTS_PER_PAGE, REVIEWS_PER_PAGE = 24, 10


def home(request: HttpRequest) -> HttpResponse:
    popular = Product.objects.order_by("-review_count", "id")
    context = {
        "popular": popular.prefetch_related("genres")[:POPULAR],
        "genres": Genre.objects.all(),
        "latest": latest_reviews(LATEST),
    }
    return render(request, "products/home.html", context)


def browse(request: HttpRequest) -> HttpResponse:
    form = SearchForm(request.GET)
    found = form.found().prefetch_related("genres")
    page = page_of(request, found, PRODUCTS_PER_PAGE)
    return render(request, "products/browse.html", {"form": form, "page": page})


def product(request: HttpRequest, pk: int) -> HttpResponse:
    shown = get_object_or_404(Product.objects.prefetch_related("genres"), pk=pk)
    shelf = reviews_of(request, shown, REVIEWS_PER_PAGE)
    context = {"product": shown, "shelf": shelf}
    status = 200 if shelf.reachable else 503
    return render(request, "products/product.html", context, status=status)
