"""Takes rows and a page number from the address, gives that page or `NoSuchPage`."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest


class NoSuchPage(Http404):
    def __init__(self, asked: str, last: int) -> None:
        self.asked, self.last = asked, last
        pages = "1 page" if last == 1 else f"{last} pages"
        super().__init__(f"There is no page {asked[:20]!r} here, only {pages}.")


def page_of(
    request: HttpRequest, rows: QuerySet[Any], size: int, *, count: int | None = None
) -> Page[Any]:
    """Cut out the page that `?page=` names; `count` saves counting what is known."""
    paginator = Paginator(rows, size)
    if count is not None:
        paginator.count = count
    asked = request.GET.get("page") or "1"
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0
    if not 1 <= number <= paginator.num_pages:
        raise NoSuchPage(asked, paginator.num_pages)
    return paginator.page(number)
