"""Views under which servers die."""

from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

from shoal.routing import stale
from tests.project.catalog.models import Product


def nothing(alias: str) -> None:
    pass


meanwhile: list[Callable[[str], Any]] = [nothing]
"""What happens between two reads, to the server that served the first one."""
served: list[str] = []
"""Who served the first read of each answer."""


def reset() -> None:
    meanwhile[:] = [nothing]
    served.clear()


def read_twice() -> list[str]:
    names = list(Product.objects.values_list("name", flat=True))
    served.append(Product.objects.all().db)
    meanwhile[0](served[-1])
    return names + list(Product.objects.values_list("name", flat=True))


def names(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Product.objects.create(name=request.POST["name"])
    return JsonResponse(
        sorted(Product.objects.values_list("name", flat=True)), safe=False
    )


def twice(request: HttpRequest) -> HttpResponse:
    return JsonResponse(read_twice(), safe=False)


async def async_twice(request: HttpRequest) -> HttpResponse:
    names = [name async for name in Product.objects.values_list("name", flat=True)]
    served.append(Product.objects.all().db)
    await sync_to_async(meanwhile[0])(served[-1])
    names += [name async for name in Product.objects.values_list("name", flat=True)]
    return JsonResponse(names, safe=False)


def written(request: HttpRequest) -> HttpResponse:
    Product.objects.create(name="written")
    with stale("catalog"):
        return JsonResponse(read_twice(), safe=False)


def on_replica(request: HttpRequest) -> HttpResponse:
    """Fail inside a transaction on the replica that was chosen."""
    with transaction.atomic(using=Product.objects.all().db):
        return JsonResponse(read_twice(), safe=False)


def streamed(request: HttpRequest) -> HttpResponseBase:
    def body() -> Iterator[str]:
        yield "begun\n"
        yield from read_twice()

    return StreamingHttpResponse(body())


def sleeping(request: HttpRequest) -> HttpResponse:
    """Be in flight inside a query, on the first replica for longer than it lives."""
    alias = Product.objects.all().db
    served.append(alias)
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [30 if alias == "catalog_r1" else 0.1])
    return JsonResponse([alias], safe=False)


urlpatterns = [
    path("names/", names),
    path("twice/", twice),
    path("async-twice/", async_twice),
    path("written/", written),
    path("on-replica/", on_replica),
    path("streamed/", streamed),
    path("sleeping/", sleeping),
]
