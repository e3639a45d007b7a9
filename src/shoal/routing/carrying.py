"""
Takes the token that a visitor carries, and gives the response the one to carry next.

In a cookie for browsers, and in a header for clients of an API, which send back what
they were given.
"""

import functools
import logging
import time
from http.cookies import CookieError
from typing import Any

from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from shoal.conf import get_conf
from shoal.errors import BadToken
from shoal.routing import writes
from shoal.routing.context import Unit
from shoal.routing.tokens import lasting, pack, unpack, welcome
from shoal.topology import get_topology

HEADER = "Shoal-Token"
META = "HTTP_SHOAL_TOKEN"
LASTS_LONGER = 30
"""Seconds that a cookie lasts beyond the longest `MAX_LAG`. By then every replica that
serves anybody shows what it stood for."""

logger = logging.getLogger("shoal.routing")


def receive(request: HttpRequest, unit: Unit) -> None:
    """Take the token of a request, unless that was done when it began."""
    if unit.carried is None:
        cookie = request.COOKIES.get(get_conf().token_cookie, "")
        _receive(unit, cookie, request.META.get(META, ""))


def receive_from_environ(environ: Any, unit: Unit) -> None:
    cookie = ""
    if get_conf().token_cookie in environ.get("HTTP_COOKIE", ""):
        try:
            cookie = parse_cookie(environ["HTTP_COOKIE"]).get(
                get_conf().token_cookie, ""
            )
        except CookieError:
            cookie = ""
    _receive(unit, cookie, environ.get(META, ""))


def _receive(unit: Unit, *texts: str) -> None:
    unit.carried = {}
    for text in filter(None, texts):
        try:
            tokens = unpack(text)
        except BadToken as error:
            unit.was_refused = True
            logger.info(
                "token refused",
                extra={"event": "token_refused", "reason": error.message},
            )
            continue
        for name, position in tokens.items():
            before = unit.tokens.get(name)
            unit.tokens[name] = before.merge(position) if before else position
    unit.carried = dict(unit.tokens)
    welcome(unit)


def send(request: HttpRequest, response: HttpResponseBase, unit: Unit) -> None:
    """Give the response the token of what was written since the last one, if any."""
    _ask_again(unit)
    writes.learn(unit)
    tokens = lasting(unit)
    if tokens != unit.carried:
        _give(request, response, pack(tokens))
    elif unit.was_refused:
        _take(response)
    unit.carried = tokens
    unit.was_refused = False
    unit.after_write = functools.partial(send, request, response, unit)


def _ask_again(unit: Unit) -> None:
    """
    Let what was learned on the way (`export_token()`) be learned anew.

    Another request of this visitor may have been answered since, and its token must
    not be replaced by an older one.
    """
    for name, position in lasting(unit).items():
        if position != (unit.carried or {}).get(name):
            unit.written.setdefault(name, time.monotonic())


def _give(request: HttpRequest, response: HttpResponseBase, text: str) -> None:
    if not text:
        _take(response)
        return
    conf = get_conf()
    response.set_cookie(
        conf.token_cookie,
        text,
        max_age=_lifetime(),
        httponly=True,
        secure=request.is_secure() or conf.cookie.secure,
        domain=conf.cookie.domain,
        path=conf.cookie.path,
        samesite=conf.cookie.samesite,
    )
    response.headers[HEADER] = text
    # No cache may hand one visitor's token to all.
    patch_vary_headers(response, ("Cookie",))


def _take(response: HttpResponseBase) -> None:
    conf = get_conf()
    response.delete_cookie(
        conf.token_cookie,
        path=conf.cookie.path,
        domain=conf.cookie.domain,
        samesite=conf.cookie.samesite,
    )


def _lifetime() -> int:
    longest = max(
        (e.max_lag for e in get_topology().editions() if e.replicas), default=0.0
    )
    return int(longest) + LASTS_LONGER
