"""A message is there if its transaction commits, in the database that was meant."""

import datetime
import logging
import uuid
from typing import Any

import pytest
from django.db import connections, transaction

from shoal.errors import OutboxError
from shoal.transactions import outbox
from shoal.transactions.tables import TABLES
from tests.integration.outbox.conftest import ALIASES, ask, left, only, send
from tests.integration.outbox.post.models import Applied, Order


def test_it_comes_with_the_commit(post: str, received: list[outbox.Message]) -> None:
    with transaction.atomic(using="source"):
        Order.objects.create(text="one")
        id = outbox.send("noted", {"n": 1}, key="one", using="source")
    outbox.deliver(ALIASES)
    (message,) = received
    assert (message.id, message.topic, message.key) == (id, "noted", "one")
    assert (message.body, message.attempts, message.using) == ({"n": 1}, 1, "source")
    age = datetime.datetime.now(datetime.UTC) - message.sent
    assert abs(age) < datetime.timedelta(seconds=30)
    assert left() == 0


def test_a_rollback_leaves_none(post: str, received: list[outbox.Message]) -> None:
    with transaction.atomic(using="source"):
        Order.objects.create(text="one")
        outbox.send("noted", using="source")
        transaction.set_rollback(True, using="source")
    with transaction.atomic(using="source"):
        with transaction.atomic(using="source"):
            outbox.send("noted", "inner", using="source")
            transaction.set_rollback(True, using="source")
        outbox.send("noted", "outer", using="source")
    outbox.deliver(ALIASES)
    assert [message.body for message in received] == ["outer"]


def test_any_text_arrives(post: str, received: list[outbox.Message]) -> None:
    body = {"text": "für 5 € 🐟 \0 'quoted' \"%s\" \\"}
    send("noted", body, key="schlüssel €")
    send("noted", [datetime.date(2026, 1, 2), uuid.UUID(int=1)])
    outbox.deliver(ALIASES)
    assert received[0].body == body
    assert received[0].key == "schlüssel €"
    assert received[1].body == ["2026-01-02", str(uuid.UUID(int=1))]


def test_keys_are_exact(post: str, received: list[outbox.Message]) -> None:
    """`a`, `A` and `a ` are three keys on every server."""
    for key in ("a", "A", "a ", 7):
        send("noted", key=key)
    outbox.deliver(ALIASES)
    assert sorted(str(m.key) for m in received) == ["7", "A", "a", "a "]


@only("postgresql")
@pytest.mark.parametrize("name", ["", "a" * 256, "a\0b", 5])
def test_a_topic_is_a_text(post: str, name: Any) -> None:
    with pytest.raises(OutboxError, match="cannot be the topic of a message"):
        send(name)


@only("postgresql")
def test_what_json_cannot_say_is_refused(post: str) -> None:
    with pytest.raises(TypeError):
        send("noted", object())
    with pytest.raises(ValueError, match="not JSON compliant"):
        send("noted", float("nan"))


@only("postgresql", "sqlite")
def test_outside_of_a_transaction_it_is_refused(post: str) -> None:
    with pytest.raises(OutboxError) as caught:
        outbox.send("noted", using="source")
    assert str(caught.value) == (
        "outbox.send() was called outside of a transaction on 'source', where a crash "
        "could part the message from what it tells of.\n"
        "Hint: Write both in one block: with transaction.atomic(using='source'): ..."
    )
    with transaction.atomic(using="target"), pytest.raises(OutboxError):
        outbox.send("noted", using="source")
    connections["source"].set_autocommit(False)
    try:
        outbox.send("noted", using="source")
        connections["source"].rollback()
    finally:
        connections["source"].set_autocommit(True)
    assert left() == 0


@only("postgresql")
def test_where_it_is_sent(post: str) -> None:
    with transaction.atomic(using="source"):
        outbox.send("noted")
        order = Order.objects.create(text="one")
        with transaction.atomic(using="target"):
            outbox.send("noted", instance=order)
            with pytest.raises(OutboxError) as several:
                outbox.send("noted")
            with pytest.raises(OutboxError) as unknown:
                outbox.send("noted", using="sauce")
            outbox.send("noted", instance=Applied())
    assert str(several.value) == (
        "outbox.send() was not told in which database, and of those with an open "
        "transaction there are several: 'source', 'target'.\n"
        "Hint: Name the row that the message tells of: instance=..., or the alias: "
        "using=..., inside of `with transaction.atomic(using=...)`."
    )
    assert "using='sauce', which is not in DATABASES" in str(unknown.value)
    assert "Did you mean 'source'?" in unknown.value.hint
    assert left() == 2
    assert ask("target", "SELECT count(*) FROM shoal_message") == [(1,)]
    with pytest.raises(OutboxError, match="open transaction there is none"):
        outbox.send("noted")


def test_the_first_message_makes_its_table(
    post: str, received: list[outbox.Message]
) -> None:
    for model in TABLES:
        ask("source", f"DROP TABLE {model._meta.db_table}")
        ask("target", f"DROP TABLE IF EXISTS {model._meta.db_table}")
    connections["source"].close()
    connections["target"].close()
    assert outbox.deliver(ALIASES)["source"].error is None
    with transaction.atomic(using="source"):
        Order.objects.create(text="first")
        outbox.send("noted", using="source")
        outbox.send("noted", using="source")
    outbox.deliver(ALIASES)
    assert len(received) == 2
    assert ask("source", "SELECT text FROM post_order") == [("first",)]
    # The other tests find them.
    outbox.receiver("made", cluster="target", name="nothing")(lambda message: None)
    send("made")
    assert outbox.deliver(ALIASES)["source"].delivered == 1


@only("postgresql")
def test_it_is_logged(post: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "shoal.transactions.outbox"):
        id = send("noted", key="a")
    (record,) = caplog.records
    assert record.__dict__["event"] == "message_sent"
    assert record.__dict__["message_id"] == id
    assert record.__dict__["alias"] == "source"
