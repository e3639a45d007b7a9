"""A worker is killed at every step; each message is applied exactly once, in order."""

import random
import signal
import time
from typing import Any

import pytest
from django.db import transaction

from shoal.transactions import outbox
from tests.integration.outbox.conftest import (
    ALIASES,
    applied,
    ask,
    left,
    make_due,
    send,
)
from tests.integration.outbox.post import receivers

pytestmark = pytest.mark.crash

TIMEOUT = 60
STEPS = (
    "attempt_counted",
    "attempt_begun",
    "message_locked",
    "receipt_written",
    "receiver_returned",
    "message_applied",
    "receipt_committed",
    "message_deleted",
    "message_delivered",
)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_dies(post: str, worker: Any, step: str, count: int) -> None:
    receivers.register()
    for key, number in (("a", 1), ("a", 2), ("b", 1)):
        send("applied", number, key=key)
    with worker(step, count) as process:
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == -signal.SIGKILL
    make_due()
    finish()
    assert sorted(applied()) == [("a", 1), ("a", 2), ("b", 1)]
    assert [number for key, number in applied() if key == "a"] == [1, 2]
    assert left() == 0


def finish() -> None:
    """Deliver what is left, once the server has noticed who is gone."""
    end = time.monotonic() + TIMEOUT
    while left() and time.monotonic() < end:
        make_due()
        outbox.deliver(ALIASES)


def test_four_workers_die_at_random(post: str, worker: Any) -> None:
    receivers.register()
    keys, each = [f"k{n}" for n in range(6)], 15
    for number in range(each):
        for key in keys:
            send("applied", number, key=key)
            with transaction.atomic(using="source"):
                outbox.send("applied", 1000 + number, key=key, using="source")
                transaction.set_rollback(True, using="source")
    draw = random.Random(6)
    running, deaths = [], 0
    end = time.monotonic() + 120
    while left():
        assert time.monotonic() < end, f"{left()} left, {deaths} deaths"
        while len(running) < 4:
            running.append(worker("any", draw.randint(1, 120)))
        deaths += died(running.pop(0))
    for process in running:
        died(process)
    assert deaths >= 4
    found = applied()
    assert len(found) == len(keys) * each
    for key in keys:
        assert [n for k, n in found if k == key] == list(range(each))
    ((receipts,),) = ask("target", "SELECT count(*) FROM shoal_received")
    assert receipts == len(keys) * each


def died(process: Any) -> bool:
    """Wait for the end of a worker, which has come to its end, or was killed."""
    _, error = process.communicate(timeout=TIMEOUT)
    assert process.returncode in (0, -signal.SIGKILL), error
    return bool(process.returncode)
