"""
Fixtures: the shop on each kind of server.

A test that asks for `shop` runs on PostgreSQL, SQLite and MariaDB, commits for real,
and finds every table empty.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sharded.servers import (
    VENDORS,
    databases_on,
    made_databases,
    mariadb_shop,
    only,
    postgres_shop,
)
from tests.sharded.shop import empty, forget_transactions, shop_on

__all__ = [
    "ids",
    "kind",
    "made_databases",
    "mariadb_shop",
    "on_postgresql",
    "on_sqlite",
    "open_shop",
    "postgres_shop",
    "shop",
    "with_ids",
]

on_postgresql = only("postgresql")
on_sqlite = only("sqlite")


def with_ids(*kinds: str) -> Any:
    """Mark a test to run with some kinds of ids; without, they are bucketed."""
    return pytest.mark.parametrize("ids", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module", params=VENDORS.values())
def kind(request: Any) -> str:
    """The kind of server."""
    return str(request.param)


@pytest.fixture(scope="module")
def ids(request: Any) -> str:
    return str(getattr(request, "param", "bucketed"))


@pytest.fixture(scope="module")
def open_shop(
    request: Any, kind: str, ids: str, django_db_blocker: Any
) -> Iterator[str]:
    databases = databases_on(request, kind, ids)
    with django_db_blocker.unblock(), shop_on(databases, IDS=ids):
        yield kind


@pytest.fixture
def shop(open_shop: str) -> Iterator[str]:
    empty()
    yield open_shop
    forget_transactions()
