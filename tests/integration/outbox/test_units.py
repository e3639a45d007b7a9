"""Messages and units of work over several databases."""

import pytest
from django.db import connections, transaction

from shoal.transactions import atomic, outbox
from tests.integration.outbox.conftest import applied, ask, left, only, send
from tests.integration.outbox.post.models import Applied, Order
from tests.integration.outbox.post.receivers import apply
from tests.tenants import PATHS, tenant

MESSAGES = ("shoal_message", "shoal_received")


@only("postgresql")
def test_a_message_of_a_unit(post: str, received: list[outbox.Message]) -> None:
    """It is written by two phases, and is there with the rest or not at all."""
    for fails in (True, False):
        try:
            with atomic("source", "target"):
                outbox.send("noted", fails, using="source")
                Applied.objects.create(message="", key="unit", number=int(fails))
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert left() == 0
    outbox.deliver(["source"])
    assert [m.body for m in received] == [False]
    assert applied() == [("unit", 0)]


@only("postgresql", "mariadb")
def test_a_receiver_writes_on_two_clusters(post: str) -> None:
    broken = True

    @outbox.receiver("both", cluster="target", retry=outbox.Retry(first=1000))
    def both(message: outbox.Message) -> None:
        with atomic("target", "source"):
            apply(message)
            Order.objects.create(text="both")
        if broken:
            raise ZeroDivisionError

    with transaction.atomic(using="source"):
        outbox.send("both", 1, using="source")
    assert outbox.deliver(["source"])["source"].failed == 1
    assert (applied(), Order.objects.count()) == ([], 0)
    broken = False
    ask("source", "UPDATE shoal_message SET due = 0")
    assert outbox.deliver(["source"])["source"].delivered == 1
    assert (applied(), Order.objects.count()) == ([("", 1)], 1)


@only("postgresql")
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_messages_to_and_from_a_tenant(post: str, path: str, is_known: bool) -> None:
    """Its schemas have tables of the same names, in which no worker looks."""

    @outbox.receiver("told", cluster="target")
    def told(message: outbox.Message) -> None:
        ask("target", "INSERT INTO public.post_applied VALUES (DEFAULT, '', 'k', 1)")
        if message.body == "twice" and message.attempts == 1:
            raise ZeroDivisionError

    if is_known:
        send("told")
        outbox.deliver(["source"])
    else:
        connections["source"].close()
        connections["target"].close()
    with tenant("source", path, MESSAGES), tenant("target", path, MESSAGES):
        send("told")
        send("told", "twice")
        outbox.deliver(["source"])
        ask("source", "UPDATE public.shoal_message SET due = 0")
        outbox.deliver(["source"])
    assert left() == 0
    assert len(applied()) == 2 + is_known
