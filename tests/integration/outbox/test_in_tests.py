"""A project's tests: messages are delivered in the test's own transaction."""

from typing import Any

import pytest
from django.db import connections, transaction

from shoal.errors import OutboxError
from shoal.testing import TestCase, deliver_all
from shoal.transactions import atomic, outbox
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


def test_an_endless_chain_ends(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.testing.messages.MOST", 100)

    @outbox.receiver("echo", cluster="source")
    def echo(message: outbox.Message) -> None:
        for _ in range(20):
            outbox.send("echo", using="source")

    def body() -> None:
        send("echo")
        with pytest.raises(OutboxError, match="More than 100 messages"):
            deliver_all()

    case(body)
