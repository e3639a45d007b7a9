"""
Reads `settings.SHOAL` and keeps what was computed from it until a setting changes.

The only module that reads settings.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from shoal.conf.parser import parse
from shoal.conf.values import Conf, CookieConf, Problem
from shoal.errors import SettingsError

T = TypeVar("T")
_forget: list[Callable[[], None]] = []


def until_settings_change(function: Callable[[], T]) -> Callable[[], T]:
    """Keep what `function` returns until a setting that it may depend on changes."""
    kept = functools.cache(function)
    _forget.append(kept.cache_clear)
    return kept


def on_settings_change(forget: Callable[[], None]) -> None:
    """Call `forget` when a setting changes that Shoal depends on."""
    _forget.append(forget)


_COOKIE = {
    "domain": "SESSION_COOKIE_DOMAIN",
    "path": "SESSION_COOKIE_PATH",
    "samesite": "SESSION_COOKIE_SAMESITE",
    "secure": "SESSION_COOKIE_SECURE",
}
_KNOWN = {
    "DATABASES",
    "DATABASE_ROUTERS",
    "INSTALLED_APPS",
    "SHOAL",
    *_COOKIE.values(),
}


@receiver(setting_changed)
def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in _KNOWN:
        for forget in _forget:
            forget()


@until_settings_change
def read_settings() -> tuple[Conf, tuple[Problem, ...]]:
    """Return the conf as far as it can be read, with all that is wrong in it."""
    conf, problems = parse(getattr(settings, "SHOAL", {}), settings.DATABASES)
    cookie = CookieConf(**{k: getattr(settings, name) for k, name in _COOKIE.items()})
    return replace(conf, cookie=cookie), problems


@until_settings_change
def get_conf() -> Conf:
    """Return the checked conf, or raise `SettingsError` that names every problem."""
    conf, problems = read_settings()
    if not problems:
        return conf
    if len(problems) == 1:
        raise SettingsError(problems[0].message, hint=problems[0].hint)
    listed = "".join(f"\n- {p.message} {p.hint}" for p in problems)
    raise SettingsError(
        f"The SHOAL setting has {len(problems)} problems:{listed}",
        hint="`manage.py check` lists them with their ids.",
    )
