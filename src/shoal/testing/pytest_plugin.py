"""
Lets tests that use the database use every cluster, on top of pytest-django.

Where pytest-django or Shoal's setting is missing it does nothing. A test that lists
`databases` in its mark keeps its list; `@pytest.mark.shoal(mirror_replicas=False)` asks
replicas for real.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

_FIXTURES = frozenset(
    {
        "admin_client",
        "admin_user",
        "db",
        "django_db_reset_sequences",
        "django_db_serialized_rollback",
        "django_user_model",
        "live_server",
        "transactional_db",
    }
)
_STACK = pytest.StashKey[contextlib.ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "shoal(mirror_replicas=True): whether replicas show their primary's data.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not (config.pluginmanager.hasplugin("django") and _is_used()):
        return
    from shoal.testing.databases import every_database

    databases = sorted(every_database())
    for item in items:
        mark = item.get_closest_marker("django_db")
        if mark is None and not _FIXTURES & set(getattr(item, "fixturenames", ())):
            continue
        args: tuple[Any, ...] = mark.args if mark else ()
        kwargs: dict[str, Any] = dict(mark.kwargs) if mark else {}
        if "databases" not in kwargs and len(args) < 3:
            kwargs["databases"] = databases
            item.add_marker(pytest.mark.django_db(*args, **kwargs), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _is_used():
        return
    from shoal.routing import unit_of_work
    from shoal.routing.context import current, set_current
    from shoal.testing.mirrors import mirrored

    mark = item.get_closest_marker("shoal")
    stack = item.stash[_STACK] = contextlib.ExitStack()
    # Whatever a test or its fixtures leave behind, the next one begins without.
    stack.callback(set_current, current())
    stack.enter_context(unit_of_work())
    if mark is None or mark.kwargs.get("mirror_replicas", True):
        stack.enter_context(mirrored())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    if _STACK not in item.stash:
        yield
        return
    from shoal.testing.mirrors import unwatched

    try:
        # What is torn down may be the test databases.
        with unwatched():
            yield
    finally:
        item.stash[_STACK].close()


def _is_used() -> bool:
    """Say whether Django is set up, with clusters in a SHOAL setting that is sound."""
    from django.apps import apps
    from django.conf import settings

    if not (settings.configured and apps.ready):
        return False
    from shoal.conf import read_settings

    conf, problems = read_settings()
    return bool(conf.clusters) and not problems
