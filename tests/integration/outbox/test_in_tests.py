"""A project's tests: messages are delivered in the test's own transaction."""

from typing import Any

import pytest
from django.db import connections, transaction

from shoal.errors import OutboxError
from shoal.testing import TestCase, TransactionTestCase, deliver_all
from shoal.transactions import atomic, outbox, saga
from shoal.transactions.saga import defining
from tests.integration.outbox.conftest import applied, ask, left, send
from tests.integration.outbox.post.models import Order
from tests.integration.outbox.post.receivers import apply


@pytest.fixture
def case(post: str) -> Any:
    """Run a function as the test of a `TestCase`, which is rolled back."""

    def run(function: Any, base: Any = TestCase) -> None:
        class Case(base):  # type: ignore[misc]
            databases = frozenset({"source", "target"})

            def test(self) -> None:
                function()

        Case.setUpClass()
        try:
            test = Case("test")
            result = test.defaultTestResult()
            test(result)
            for _, text in (*result.errors, *result.failures):
                pytest.fail(text)
        finally:
            Case.tearDownClass()
            Case.doClassCleanups()

    return run


def test_in_a_testcase(case: Any, received: list[outbox.Message]) -> None:
    outbox.receiver("applied", cluster="target")(apply)

    @outbox.receiver("first", cluster="target")
    def forward(message: outbox.Message) -> None:
        outbox.send("noted", message.body, using="target")

    def body() -> None:
        with pytest.raises(OutboxError, match="outside of a transaction"):
            outbox.send("applied", using="source")
        with atomic("source", "target"):
            Order.objects.create(text="one")
            outbox.send("applied", 1, key="a", using="source")
        send("applied", 2, key="a")
        send("first", 3)
        with transaction.atomic(using="source"):
            send("applied", 9, key="a")
            transaction.set_rollback(True, using="source")
        with pytest.raises(OutboxError, match=r"testing\.deliver_all\(\)"):
            outbox.deliver()
        messages = deliver_all()
        assert [m.body for m in messages] == [1, 3, 3, 2]
        assert applied() == [("a", 1), ("a", 2)]
        assert received[0].body == 3
        assert left() == 0
        assert deliver_all() == []

    case(body)
    assert applied() == []
    assert ask("target", "SELECT count(*) FROM shoal_received") == [(0,)]


def test_errors_are_the_tests_own(case: Any) -> None:
    @outbox.receiver("broken")
    def broken(message: outbox.Message) -> None:
        Order.objects.create(text="undone")
        raise ZeroDivisionError

    def body() -> None:
        send("broken")
        with pytest.raises(ZeroDivisionError):
            deliver_all()
        assert not Order.objects.exists()
        send("nobody")
        with pytest.raises(OutboxError) as caught:
            deliver_all("source")
        assert caught.value.message == (
            "Nobody receives 'nobody', which was sent in 'source'."
        )

    case(body)
    assert not connections["source"].in_atomic_block


def test_many_are_delivered(
    case: Any, received: list[outbox.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.testing.messages.MOST", 10)

    def body() -> None:
        for number in range(25):
            send("noted", number, key="a" if number % 2 else None)
        assert len(deliver_all()) == 25

    case(body)


def test_nothing_outlasts_a_test_that_commits(
    case: Any, received: list[outbox.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defining, "_registry", {})
    trip = saga("trip", using="source")
    trip.step(cluster="target")(str)

    def body() -> None:
        outbox.receiver("applied", cluster="target")(apply)
        send("applied", 1)
        send("noted", 2)
        assert [m.body for m in deliver_all("source")] == [1, 2]
        send("noted", 3)
        assert trip.start("a").is_finished

    case(body, TransactionTestCase)
    assert left() == 0
    assert trip.state("a") is None
    for table in ("shoal_received", "shoal_saga_mark"):
        assert ask("target", f"SELECT count(*) FROM {table}") == [(0,)]


def test_an_endless_chain_ends(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.testing.messages.MOST", 100)

    @outbox.receiver("echo", cluster="source")
    def echo(message: outbox.Message) -> None:
        for _ in range(20):
            outbox.send("echo", using="source")

    def body() -> None:
        send("echo")
        with pytest.raises(OutboxError, match="sent more than 100 messages"):
            deliver_all()

    case(body)
