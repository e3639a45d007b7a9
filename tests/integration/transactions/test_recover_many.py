"""A thousand units of work in doubt on two servers, recovered in seconds."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import Lab, Postgres
from shoal.transactions.recovering import Recovery, recover
from tests.integration.transactions.apart import Site
from tests.integration.transactions.asking import TRIO, decided, prepared
from tests.sharded.servers import FAST

MANY = 1000
ALLOWED = 20.0
"""Seconds for a thousand; a quiet machine takes less than five."""


@pytest.fixture(scope="module")
def roomy(django_db_blocker: Any) -> Iterator[Site]:
    more = {**FAST, "max_prepared_transactions": str(MANY + 100)}
    with (
        Lab(*(Postgres(alias, settings=more) for alias in TRIO)) as lab,
        django_db_blocker.unblock(),
        Site(lab.databases, {alias: lab[alias] for alias in TRIO}).opened() as site,
    ):
        yield site


@pytest.mark.alone
@pytest.mark.parametrize(
    "is_decided", [True, pytest.param(False, marks=pytest.mark.crash)]
)
def test_a_thousand(roomy: Site, is_decided: bool, record_property: Any) -> None:
    """A thousand on each of two servers."""
    roomy.reset()
    roomy.leave_in_doubt(MANY, is_decided=is_decided)
    began = time.monotonic()
    recovery = recover()
    took = time.monotonic() - began
    print(f"{len(recovery.found)} in doubt took {took:.2f} s")
    record_property("seconds", took)
    assert len(recovery.found) == 2 * MANY
    assert recovery.left == []
    assert prepared() == decided() == []
    assert recover() == Recovery()
    assert took < ALLOWED
