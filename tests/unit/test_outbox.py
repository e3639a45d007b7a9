"""How long a message waits. Pure."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from shoal.transactions.outbox import Message, Retry


def test_it_waits_twice_as_long_each_time() -> None:
    retry = Retry(first=2, longest=100)
    pauses = [retry.pause(n, lambda: 1.0) for n in range(1, 9)]
    assert pauses == [2, 4, 8, 16, 32, 64, 100, 100]
    assert retry.pause(10**6, lambda: 1.0) == 100


def test_chance_takes_half_of_it_at_most() -> None:
    retry = Retry(first=8)
    assert retry.pause(1, lambda: 0.0) == 4
    pauses = {retry.pause(1) for _ in range(100)}
    assert len(pauses) > 50
    assert all(4 <= pause < 8 for pause in pauses)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": -1}, {"longest": -1}])
def test_a_retry_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 attempt"):
        Retry(**wrong)


def test_a_message_goes_as_json() -> None:
    sent = datetime(2026, 1, 2, tzinfo=UTC)
    message = Message(
        id="1", topic="a", key=None, body=[1], attempts=2, sent=sent, using="default"
    )
    assert message.as_dict() == {
        "id": "1",
        "topic": "a",
        "key": None,
        "body": [1],
        "attempts": 2,
        "sent": "2026-01-02T00:00:00+00:00",
        "using": "default",
    }


def test_the_helper_for_tests_needs_no_settings() -> None:
    """The plugin of pytest is imported where there is no project."""
    subprocess.run(
        [sys.executable, "-c", "import shoal.testing"], check=True, timeout=240
    )
