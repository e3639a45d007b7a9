"""Takes what went wrong, gives a page that says so in plain words.

These pages ask no server for anything: one of them may be what went wrong.
"""

import sys

import psycopg
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from reviewsite.paging import NoSuchPage

SERVER_GONE = (OperationalError, InterfaceError)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Offer the last page to someone who paged too far."""
    context = {"past_the_end": exception if isinstance(exception, NoSuchPage) else None}
    return render(request, "404.html", context, status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """
    Tell a server that doesn't answer, or a row that is locked (503), from our mistakes.

    Django calls this from within the `except` block, whatever part failed: the view,
    the template or the session.
    """
    error = sys.exc_info()[1]
    if isinstance(error, SERVER_GONE):
        is_locked = isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
        page = render(request, "503.html", {"is_locked": is_locked}, status=503)
        page["Retry-After"] = "5"
        return page
    return render(request, "500.html", status=500)
