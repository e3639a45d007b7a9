"""Takes the SHOAL setting and all that stands on it, gives what is wrong there."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from shoal.checks.claims import claims_known, default_needed
from shoal.checks.databases import atomic_requests, one_server_each
from shoal.checks.installed import middleware_installed, router_installed
from shoal.conf import read_settings


@register("shoal")
def check_setting(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001, E002, E006, E007, E008: the SHOAL setting, then all that stands on it."""
    _, problems = read_settings()
    if problems:
        return [Error(p.message, hint=p.hint, id=p.id) for p in problems]
    found: list[CheckMessage] = []
    for check in (
        claims_known,
        default_needed,
        router_installed,
        middleware_installed,
        one_server_each,
        atomic_requests,
    ):
        found.extend(check())
    return found
