"""Views that say which edition and which server answered."""

from django.http import (
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

from tests.project.catalog.models import Product
from tests.project.pages.models import Page


def role_of(request: HttpRequest) -> str | None:
    return request.headers.get("X-Role")


def titles(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        sorted(Page.objects.values_list("title", flat=True)), safe=False
    )


async def async_titles(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        sorted([page.title async for page in Page.objects.all()]), safe=False
    )


def streamed_titles(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{page.title}\n" for page in Page.objects.all())


def aliases(request: HttpRequest) -> HttpResponse:
    """Ask the router as Django does, several times within one request."""
    return JsonResponse([Product.objects.all().db for _ in range(5)], safe=False)


def products(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Product.objects.create(name=request.POST["name"])
        return HttpResponse()
    names = sorted(Product.objects.values_list("name", flat=True))
    return JsonResponse(names, safe=False)


def failing(request: HttpRequest) -> HttpResponse:
    products(request)
    raise RuntimeError("after the write")


urlpatterns = [
    path("products/fail/", failing),
    path("products/", products),
    path("titles/", titles),
    path("async-titles/", async_titles),
    path("streamed-titles/", streamed_titles),
    path("aliases/", aliases),
]
