"""Takes a model and the context, gives the alias of the server that is asked."""

from shoal.routing.context import Choice, choices, unit_of_work
from shoal.routing.middleware import Middleware
from shoal.routing.router import Router
from shoal.routing.scopes import fresh, pinned, role, stale, unguarded
from shoal.routing.tokens import aexport_token, export_token, with_token

__all__ = [
    "Choice",
    "Middleware",
    "Router",
    "aexport_token",
    "choices",
    "export_token",
    "fresh",
    "pinned",
    "role",
    "stale",
    "unguarded",
    "unit_of_work",
    "with_token",
]
