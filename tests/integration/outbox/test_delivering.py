"""Who receives what, when it is tried again, and what holds back what."""

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from shoal.errors import OutboxError
from shoal.transactions import outbox
from shoal.transactions.outbox import keeping
from shoal.transactions.outbox.asking import drop, revive
from shoal.transactions.outbox.box import opened
from shoal.transactions.outbox.tidying import tidy
from shoal.transactions.outbox.values import Tally
from tests.integration.outbox.conftest import (
    applied,
    ask,
    left,
    make_due,
    only,
    send,
)
from tests.integration.outbox.post.models import Order
from tests.integration.outbox.post.receivers import apply

ONCE = outbox.Retry(attempts=1)
LATER = outbox.Retry(first=1000)
"""Not due again before the test says so, however slow the machine is."""
WITHIN = 60


class Broken(Exception):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise Broken


def deliver() -> Tally:
    tally = outbox.deliver(["source", "target"])["source"]
    assert tally.error is None
    return tally


def test_each_key_in_order(post: str, received: list[outbox.Message]) -> None:
    for number in range(150):
        send("noted", number, key=f"k{number % 3}")
        send("noted", number)
    assert deliver().delivered == 300
    for key in ("k0", "k1", "k2"):
        numbers = [m.body for m in received if m.key == key]
        assert numbers == sorted(numbers)
        assert len(numbers) == 50


def test_it_is_tried_again_later(post: str) -> None:
    tries = []

    @outbox.receiver("shaky", retry=outbox.Retry(first=100, longest=150))
    def shaky(message: outbox.Message) -> None:
        tries.append(message)
        if len(tries) < 4:
            raise Broken("not yet")

    send("shaky", key="a")
    send("shaky", key="a")
    assert (deliver().failed, len(tries)) == (1, 1)
    # Not due, and the one behind it waits as well.
    assert (deliver().tried, len(tries)) == (0, 1)
    for least, most in ((50, 101), (75, 151), (75, 151)):
        with opened("source") as box:
            assert box is not None
            ((pause, error),) = box.control.run(
                f'SELECT "due" - {box.now}, "error" FROM "shoal_message" '
                'WHERE "attempts" > 0'
            )
        assert least - 5 < pause < most
        assert error.endswith("shaky: Broken: not yet")
        make_due()
        deliver()
    assert [m.attempts for m in tries] == [1, 2, 3, 4, 1]
    assert len({m.id for m in tries}) == 2
    assert left() == 0


def test_a_dead_letter_holds_back_its_key_alone(
    post: str, received: list[outbox.Message]
) -> None:
    broken = True

    @outbox.receiver("poison", cluster="target", retry=ONCE)
    def poison(message: outbox.Message) -> None:
        apply(message)
        if broken:
            raise Broken("ü €")

    dead = send("poison", 1, key="a")
    send("noted", "behind", key="a")
    send("noted", "beside", key="b")
    send("noted", "free")
    tally = deliver()
    assert (tally.delivered, tally.failed, tally.left.dead) == (2, 1, 1)
    (letter,) = tally.left.dead_letters
    assert (letter.id, letter.key, letter.attempts) == (dead, "a", 1)
    assert letter.error.endswith(r"poison: Broken: \xfc \u20ac")
    assert [m.body for m in received] == ["beside", "free"]
    assert deliver().tried == 0
    assert applied() == []

    with pytest.raises(OutboxError, match="1 of these messages are not dead letters"):
        revive(["source"], ["0" * 32])
    broken = False
    assert revive(["source", "target"]) == 1
    assert deliver().delivered == 2
    assert applied() == [("a", 1)]
    assert received[-1].body == "behind"


def test_a_dead_letter_is_dropped(post: str, received: list[outbox.Message]) -> None:
    @outbox.receiver("poison", retry=ONCE)
    def poison(message: outbox.Message) -> None:
        raise Broken

    dead = send("poison", key="a")
    send("noted", "behind", key="a")
    deliver()
    assert drop(["target", "source"], [dead]) == 1
    with pytest.raises(OutboxError) as caught:
        drop(["source"], [dead])
    assert caught.value.message == f"No message has the id {dead!r}."
    assert deliver().delivered == 1
    assert left() == 0


def test_many_poisoned_messages_keep_no_other_waiting(
    post: str, received: list[outbox.Message]
) -> None:
    @outbox.receiver("poison", retry=LATER)
    def poison(message: outbox.Message) -> None:
        raise Broken

    for number in range(120):
        send("poison", key=number)
    send("nobody", key="n")
    send("noted", "last")
    tally = deliver()
    assert (tally.delivered, tally.failed) == (1, 120)


def test_a_message_that_kills_its_worker_dies(post: str) -> None:
    """The attempt was counted before, so its end need not be lived to."""

    class Killed(BaseException):
        pass

    @outbox.receiver("deadly", retry=outbox.Retry(attempts=2, first=0))
    def deadly(message: outbox.Message) -> None:
        raise Killed

    send("deadly")
    for _ in range(2):
        with pytest.raises(Killed):
            deliver()
        make_due()
    tally = deliver()
    assert (tally.failed, tally.left.dead) == (1, 1)
    (letter,) = tally.left.dead_letters
    assert letter.error == "The worker was gone before the end of each attempt."


def test_a_topic_without_a_receiver_stays(
    post: str, received: list[outbox.Message]
) -> None:
    send("new", 1, key="a")
    send("noted", 2, key="a")
    send("noted", 3)
    tally = deliver()
    assert tally.unheard == {"new": 1}
    assert not tally.is_well
    assert [m.body for m in received] == [3]
    outbox.receiver("new", name="note")(received.append)
    assert deliver().is_well
    assert [(m.body, m.attempts) for m in received[1:]] == [(1, 1), (2, 1)]


def test_several_receivers_each_once(post: str) -> None:
    """Who has received a message need not again, because another one failed."""
    calls = []
    broken = True

    @outbox.receiver("shared", retry=LATER)
    def first(message: outbox.Message) -> None:
        calls.append("first")

    @outbox.receiver("shared", retry=LATER)
    def second(message: outbox.Message) -> None:
        calls.append("second")
        if broken:
            raise Broken

    @outbox.receiver("shared", retry=LATER)
    async def third(message: outbox.Message) -> None:
        calls.append("third")

    send("shared")
    assert deliver().failed == 1
    broken = False
    make_due()
    deliver()
    assert sorted(calls) == ["first", "second", "second", "third"]
    assert left() == 0


def test_what_was_applied_is_not_applied_again(post: str) -> None:
    """As after a crash between the commits of the two databases."""
    outbox.receiver("applied", cluster="target")(apply)
    send("applied", 1, key="a")
    rows = ask("source", "SELECT * FROM shoal_message")
    deliver()
    marks = ", ".join(["%s"] * len(rows[0]))
    ask("source", f"INSERT INTO shoal_message VALUES ({marks})", *rows[0])
    assert deliver().delivered == 1
    assert applied() == [("a", 1)]


def test_a_receiver_sends_on(post: str, received: list[outbox.Message]) -> None:
    @outbox.receiver("first", cluster="target")
    def forward(message: outbox.Message) -> None:
        outbox.send("noted", message.body, using="target")

    send("first", 5)
    outbox.deliver()
    assert [(m.body, m.using) for m in received] == [(5, "target")]


def test_a_receiver_writes_where_it_was_sent(post: str) -> None:
    broken = True

    @outbox.receiver("here", cluster="source", retry=LATER)
    def here(message: outbox.Message) -> None:
        Order.objects.create(text="here")
        if broken:
            raise Broken

    @outbox.receiver("here too", retry=LATER)
    def too(message: outbox.Message) -> None:
        with transaction.atomic(using="source"):
            Order.objects.create(text="too")
        if broken:
            raise Broken

    send("here")
    send("here too")
    assert deliver().failed == 2
    broken = False
    make_due()
    assert deliver().delivered == 2
    texts = sorted(text for (text,) in ask("source", "SELECT text FROM post_order"))
    # Without a cluster it is at least once; on SQLite it is a part of the delivery.
    expected = ["here", "too"] if post == "sqlite" else ["here", "too", "too"]
    assert texts == expected


def test_a_cluster_is_chosen_by_the_message(post: str) -> None:
    outbox.receiver(
        "applied",
        cluster=lambda message: message.body["on"],
        name="apply",
        retry=LATER,
    )(lambda message: Order.objects.using("source").create(text="chosen"))
    send("applied", {"on": "source"})
    send("applied", {"on": "sauce"})
    tally = deliver()
    assert (tally.delivered, tally.failed) == (1, 1)
    assert ask("source", "SELECT text FROM post_order") == [("chosen",)]
    ((error,),) = ask("source", "SELECT error FROM shoal_message")
    assert "writes on the cluster 'sauce', which is not in DATABASES" in error


def test_inside_of_a_transaction_nothing_is_delivered(post: str) -> None:
    with (
        transaction.atomic(using="target"),
        pytest.raises(OutboxError, match="transaction that is open on 'target'"),
    ):
        outbox.deliver()


@only("postgresql", "mariadb")
def test_workers_pass_by_what_another_has(
    post: str, received: list[outbox.Message]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    # It is due again while it is tried, which lets nobody else try it.
    @outbox.receiver("slow", retry=outbox.Retry(first=0))
    def slow(message: outbox.Message) -> None:
        begun.set()
        assert go_on.wait(WITHIN)

    send("slow", key="a")
    send("noted", "behind", key="a")
    send("noted", "beside", key="b")
    other = threading.Thread(target=in_thread)
    other.start()
    assert begun.wait(WITHIN)
    assert (deliver().delivered, [m.body for m in received]) == (1, ["beside"])
    # Nobody has waited for the other.
    assert other.is_alive()
    go_on.set()
    other.join(WITHIN)
    assert [m.body for m in received] == ["beside", "behind"]
    assert left() == 0


def in_thread() -> None:
    try:
        deliver()
    finally:
        connections.close_all()


@only("postgresql", "mariadb")
def test_the_last_attempt_is_taken_from_nobody(
    post: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another worker comes when it is counted, and not begun yet."""
    calls = []

    @outbox.receiver("once", retry=outbox.Retry(attempts=1, first=0))
    def once(message: outbox.Message) -> None:
        calls.append(message)

    class Meanwhile(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if vars(record).get("event") == "attempt_begun":
                logger.removeHandler(self)
                other = threading.Thread(target=in_thread)
                other.start()
                other.join(WITHIN)

    send("once")
    logger = logging.getLogger("shoal.transactions.outbox")
    caplog.set_level(logging.DEBUG, logger=logger.name)
    logger.addHandler(Meanwhile())
    tally = deliver()
    assert (tally.delivered, tally.left.dead, len(calls)) == (1, 0, 1)


@only("postgresql", "mariadb")
def test_a_message_is_one_workers(post: str) -> None:
    begun, go_on, calls = threading.Event(), threading.Event(), []

    @outbox.receiver("slow", retry=outbox.Retry(first=0))
    def slow(message: outbox.Message) -> None:
        calls.append(message)
        begun.set()
        assert go_on.wait(WITHIN)

    send("slow")
    other = threading.Thread(target=in_thread)
    other.start()
    try:
        assert begun.wait(WITHIN)
        assert deliver().tried == 0
    finally:
        go_on.set()
        other.join(WITHIN)
    assert len(calls) == 1
    assert left() == 0


@only("postgresql", "mariadb")
def test_a_late_message_does_not_overtake_its_key(post: str) -> None:
    """It was sent before, and its transaction commits while the next one is at work."""
    begun, go_on = threading.Event(), threading.Event()
    at_work, most = [], []

    @outbox.receiver("one at a time", retry=outbox.Retry(first=0.01))
    def one(message: outbox.Message) -> None:
        at_work.append(message.body)
        most.append(len(at_work))
        if message.body == "second":
            begun.set()
            assert go_on.wait(WITHIN)
        at_work.remove(message.body)

    with transaction.atomic(using="source"):
        outbox.send("one at a time", "first", key="a", using="source")
        sender = threading.Thread(target=send_second)
        sender.start()
        sender.join(WITHIN)
        worker = threading.Thread(target=in_thread)
        worker.start()
        assert begun.wait(WITHIN)
    assert deliver().tried == 0
    go_on.set()
    worker.join(WITHIN)
    while left():
        deliver()
    assert most == [1, 1]


def send_second() -> None:
    try:
        send("one at a time", "second", key="a")
    finally:
        connections.close_all()


@pytest.mark.parametrize("error", [Broken("a\0b"), Mute()], ids=["NUL", "mute"])
def test_whatever_an_error_says(
    post: str, received: list[outbox.Message], error: Exception
) -> None:
    @outbox.receiver("poison", retry=ONCE)
    def poison(message: outbox.Message) -> None:
        raise error

    send("poison")
    send("noted")
    tally = deliver()
    assert (tally.failed, len(received)) == (1, 1)
    said = tally.left.dead_letters[0].error
    assert said.endswith((": Broken: ab", ": Mute"))


def test_a_task_that_was_cancelled_is_a_failure(
    post: str, received: list[outbox.Message]
) -> None:
    @outbox.receiver("cancelled", retry=LATER)
    async def cancelled(message: outbox.Message) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    send("cancelled")
    send("noted")
    tally = deliver()
    assert (tally.failed, tally.delivered) == (1, 1)


def test_an_async_receiver_that_does_not_look_so(post: str) -> None:
    """What it returns is waited for, or the message would be gone unread."""
    seen = []

    async def look(message: outbox.Message) -> None:
        seen.append((message.body, await Order.objects.using("source").acount()))

    @outbox.receiver("looked", cluster="target")
    @functools.wraps(look)
    def decorated(message: outbox.Message) -> Any:
        return look(message)

    send("looked", 7)
    assert deliver().delivered == 1
    assert seen == [(7, 0)]


@only("postgresql")
def test_a_receiver_takes_longer_than_a_session_may_idle(post: str) -> None:
    @outbox.receiver("slow")
    def slow(message: outbox.Message) -> None:
        time.sleep(0.3)

    send("slow")
    idle = "idle_in_transaction_session_timeout"
    ask("source", f"ALTER DATABASE source SET {idle} = 100")
    try:
        assert deliver().delivered == 1
    finally:
        ask("source", f"ALTER DATABASE source RESET {idle}")
        # A session that has begun with it would keep it for the tests that follow.
        connections["source"].close()


def swallow(alias: str) -> None:
    with (
        contextlib.suppress(Broken),
        transaction.atomic(using=alias, savepoint=False),
    ):
        raise Broken


@pytest.mark.parametrize(
    "lose",
    [
        swallow,
        lambda alias: transaction.set_rollback(True, using=alias),
        lambda alias: connections[alias].close(),
    ],
    ids=["swallowed", "rolled back", "closed"],
)
def test_a_message_whose_writes_would_be_lost(
    post: str, lose: Callable[[str], None]
) -> None:
    @outbox.receiver("lost", cluster="target", retry=LATER)
    def lost(message: outbox.Message) -> None:
        apply(message)
        if message.attempts == 1:
            lose("target")

    send("lost", 1)
    assert (deliver().failed, applied()) == (1, [])
    ((said,),) = ask("source", "SELECT error FROM shoal_message")
    assert "WritesLost: The receiver" in said
    make_due()
    assert deliver().delivered == 1
    assert applied() == [("", 1)]


@only("sqlite")
def test_writes_in_the_workers_transaction_that_would_be_lost(post: str) -> None:
    @outbox.receiver("lost", retry=LATER)
    def lost(message: outbox.Message) -> None:
        Order.objects.create(text="x")
        if message.attempts == 1:
            swallow("source")

    send("lost", 1)
    assert (deliver().failed, Order.objects.count()) == (1, 0)
    make_due()
    assert (deliver().delivered, Order.objects.count()) == (1, 1)


def test_old_receipts_go_once_the_message_has(post: str) -> None:
    outbox.receiver("applied", cluster="target")(apply)
    send("applied", 1)
    send("applied", 2)
    rows = ask("source", "SELECT * FROM shoal_message ORDER BY id")
    deliver()
    marks = ", ".join(["%s"] * len(rows[0]))
    ask("source", f"INSERT INTO shoal_message VALUES ({marks})", *rows[0])
    assert tidy(["source", "target"]) == 0
    ask("target", "UPDATE shoal_received SET at = at - %s", keeping.KEPT_FOR + 10)
    assert tidy(["source", "target"]) == 1
    assert deliver().delivered == 1
    assert [number for _, number in applied()] == [1, 2]


def test_a_worker_of_one_database_drops_receipts_on_others(post: str) -> None:
    outbox.receiver("applied", cluster="target")(apply)
    send("applied", 1)
    outbox.deliver(["source"])
    assert ask("target", "SELECT count(*) FROM shoal_received") == [(1,)]
    ask("target", "UPDATE shoal_received SET at = at - %s", keeping.KEPT_FOR + 10)
    outbox.deliver(["source"])
    assert ask("target", "SELECT count(*) FROM shoal_received") == [(0,)]


@only("postgresql")
def test_tasks_are_handed_messages(post: str) -> None:
    class Celery:
        name = "mails.send"

        def apply_async(self, **kwargs: Any) -> None:
            sent.append(kwargs)

    class Django:
        module_path = "mails.log"

        def enqueue(self, *args: Any) -> None:
            sent.append(args)

    sent: list[Any] = []
    outbox.deliver_to("mail", Celery())
    outbox.deliver_to("mail", Django())
    id = send("mail", {"to": 1}, key="a")
    deliver()
    first, ((second,)) = sent
    assert first["task_id"] == id
    assert first["args"][0] == second
    assert second["body"] == {"to": 1}
    assert second["id"] == id
    with pytest.raises(OutboxError, match="is no task of Celery, nor one of Django"):
        outbox.deliver_to("mail", print)


@only("postgresql")
def test_the_databases_are_named(post: str, received: list[outbox.Message]) -> None:
    send("noted")
    assert outbox.deliver([]) == {}
    assert list(outbox.deliver("target")) == ["target"]
    assert outbox.deliver("source")["source"].delivered == 1
    fact = "Messages of 'sauce' cannot be delivered: it is not in DATABASES."
    with pytest.raises(OutboxError, match=fact) as refused:
        outbox.deliver(["source", "sauce"])
    assert "Did you mean 'source'?" in str(refused.value)


def test_a_receiver_without_a_topic_is_refused(post: str) -> None:
    receiver: Any = outbox.receiver
    with pytest.raises(OutboxError, match="which is no text") as refused:
        receiver(apply)
    assert 'Name the topic: @outbox.receiver("...").' in str(refused.value)


def test_names_of_receivers_are_their_own(post: str) -> None:
    with pytest.raises(OutboxError, match="has no name that is only its own"):
        outbox.receiver("mail")(lambda message: None)
    outbox.receiver("mail", name="a")(print)
    outbox.receiver("mail", name="a")(print)
    with pytest.raises(OutboxError, match="Two receivers of 'mail' are named 'a'"):
        outbox.receiver("mail", name="a")(len)
    outbox.receiver("other", name="a")(len)
    assert outbox.receiver("applied")(apply) is apply
