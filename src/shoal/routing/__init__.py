"""Takes a model and the context, gives the alias of the server that is asked."""

from shoal.routing.context import unit_of_work
from shoal.routing.middleware import Middleware
from shoal.routing.router import Router
from shoal.routing.scopes import pinned, role, stale, unguarded

__all__ = [
    "Middleware",
    "Router",
    "pinned",
    "role",
    "stale",
    "unguarded",
    "unit_of_work",
]
