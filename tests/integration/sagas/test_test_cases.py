"""In a project's tests the rows of a saga go with the test."""

import unittest
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import TestCase, TransactionTestCase

from shoal.errors import SagaInTransaction
from shoal.transactions import saga, tables
from shoal.transactions.saga import Run, overview, resume
from tests.integration.sagas.conftest import ask


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def run_twice(base: Any) -> list[int]:
    """Run one test twice, and return how often its step was called."""
    trip = saga("trip", using="ledger")
    calls = []

    @trip.step(cluster="goods")
    def one(run: Run) -> None:
        calls.append(run.attempt)
        ask("INSERT INTO counted VALUES (1)", alias="goods")

    @trip.step(retries=1, backoff=0)
    def two(run: Run) -> None:
        if run.attempt == 1:
            raise ValueError

    @trip.step
    def three(run: Run) -> None:
        raise saga.Retry(1000)

    class Inner(base):  # type: ignore[misc]
        databases = ("ledger", "goods")

        def test(self) -> None:
            assert trip.state("a") is None
            assert trip.start("a").is_waiting
            assert trip.start("a").is_waiting
            assert len(resume().waiting) == 1
            assert len(resume(clock=tomorrow).waiting) == 1
            assert calls in ([1], [1, 1, 1])
            assert overview("ledger").waiting == 1
            assert len(ask("SELECT * FROM shoal_saga_step")) == 3
            with transaction.atomic("goods"), pytest.raises(SagaInTransaction):
                trip.start("b")
            with self.captureOnCommitCallbacks(using="ledger", execute=True):
                transaction.on_commit(lambda: trip.start("b"), using="ledger")
            assert trip.state("b") is not None

    result = unittest.TestResult()
    unittest.TestSuite([Inner("test"), Inner("test")]).run(result)
    assert result.testsRun == 2
    assert not result.errors, result.errors[0][1]
    assert not result.failures, result.failures[0][1]
    return calls


def test_with_tables(ledger: str) -> None:
    for alias in ("ledger", "goods"):
        tables.create(alias)
    assert run_twice(TestCase) == [1] * 4
    assert ask("SELECT * FROM shoal_saga") == []
    assert ask("SELECT * FROM shoal_saga_mark", alias="goods") == []


def test_without_tables(ledger: str) -> None:
    assert run_twice(TestCase) == [1] * 4
    there = connections["ledger"].introspection.table_names()
    assert "shoal_saga" not in there or ask("SELECT * FROM shoal_saga") == []


def test_a_test_case_without_a_transaction(ledger: str) -> None:
    """Nobody flushes the tables: the second test finds what the first has left."""

    class Inner(TransactionTestCase):
        databases = ("ledger", "goods")

        def test(self) -> None:
            standing = trip.start("a")
            states.append((standing.state, standing.steps[0].attempt))

    trip = saga("trip", using="ledger")
    trip.step(named)
    states: list[Any] = []
    result = unittest.TestResult()
    unittest.TestSuite([Inner("test"), Inner("test")]).run(result)
    assert not result.errors, result.errors[0][1]
    assert states == [("finished", 1)] * 2


def named(run: Run) -> None:
    """A step."""
