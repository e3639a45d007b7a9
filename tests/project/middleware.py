"""Middleware around Shoal's that asks and writes databases, as the session's does."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from tests.project.catalog.models import Tag


class TagsOfRequests:
    """Counts tags before a request, and leaves one after each POST."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        count = Tag.objects.count()
        response = self.get_response(request)
        if request.method == "POST":
            Tag.objects.create(name=f"{count} before")
        response.headers["X-Tags"] = str(count)
        return response
