"""Takes what went wrong, gives a page that says so in plain words.

These pages ask no server for anything: one of them may be what went wrong.
"""

import sys

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
    Tell a server that doesn't answer (503) from a mistake of ours (500).

    Django calls this from within the `except` block, whatever part failed: the view,
    the template or the session.
    """
    if isinstance(sys.exc_info()[1], SERVER_GONE):
        page = render(request, "503.html", status=503)
        page["Retry-After"] = "5"
        return page
    return render(request, "500.html", status=500)
