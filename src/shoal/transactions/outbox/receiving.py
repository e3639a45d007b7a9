"""
Takes functions that receive messages, and keeps them by topic.

Runs one for a message: on a cluster exactly once, elsewhere each time it is asked to.
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from django.db import connections

from shoal.errors import OutboxError, did_you_mean
from shoal.topology import get_topology
from shoal.transactions.block import atomic
from shoal.transactions.calling import call
from shoal.transactions.losing import refuse_loss
from shoal.transactions.outbox.keeping import note
from shoal.transactions.outbox.own_connection import ensure_tables, server_of
from shoal.transactions.outbox.values import Message, Retry
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions.outbox")

Function = TypeVar("Function", bound=Callable[..., Any])
Cluster: TypeAlias = Alias | Callable[[Message], Alias]


@dataclass(frozen=True, kw_only=True)
class Receiver:
    topic: str
    function: Callable[[Message], Any]
    name: str
    """By this it is known that it has received a message."""
    cluster: Cluster | None = None
    retry: Retry = field(default_factory=Retry)

    def cluster_of(self, message: Message) -> Alias | None:
        """Return where it writes, or raise `OutboxError`."""
        where = self.cluster(message) if callable(self.cluster) else self.cluster
        if where is None:
            return None
        if where not in connections.settings:
            raise OutboxError(
                f"The receiver {self.name!r} writes on the cluster {where!r}, which is "
                "not in DATABASES.",
                hint=did_you_mean(str(where), list(connections.settings)),
            )
        primary = get_topology().primary_of_replica(where)
        if primary is not None:
            raise OutboxError(
                f"The receiver {self.name!r} writes on {where!r}, which is a replica.",
                hint=f"Name its primary: cluster={primary!r}.",
            )
        return where


class Receivers:
    """Every receiver of this process, by topic."""

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[str, Receiver]] = {}

    @property
    def topics(self) -> list[str]:
        return list(self._by_topic)

    def of(self, topic: str) -> list[Receiver]:
        return list(self._by_topic.get(topic, {}).values())

    def add(self, new: Receiver) -> None:
        known = self._by_topic.setdefault(new.topic, {})
        other = known.get(new.name)
        if other is not None and not _is_again(other.function, new.function):
            raise OutboxError(
                f"Two receivers of {new.topic!r} are named {new.name!r}.",
                hint='Give one of them another: name="...".',
            )
        known[new.name] = new


registered = Receivers()


def receiver(
    topic: str,
    *,
    cluster: Cluster | None = None,
    name: str | None = None,
    retry: Retry | None = None,
) -> Callable[[Function], Function]:
    """
    Let a function receive the messages of a topic; several may.

    With a `cluster`, an alias or a function of the message, it runs inside of
    `atomic()` there, and what it writes there is written exactly once. Without one it
    runs at least once, and `message.id` is the same each time. Its `name`, where it is
    defined unless given, must stay the same while messages are under way.
    """

    if not isinstance(topic, str):
        raise OutboxError(
            f"A receiver has the topic {topic!r}, which is no text.",
            hint='Name the topic: @outbox.receiver("...").',
        )

    def register(function: Function) -> Function:
        add(topic, function, cluster=cluster, name=name, retry=retry)
        return function

    return register


def deliver_to(
    topic: str, task: Any, *, name: str | None = None, retry: Retry | None = None
) -> None:
    """
    Hand the messages of a topic to a task, of Celery or of Django, at least once.

    The task is given the message as a dict. Celery's has the message's id as its own.
    """
    name = name or getattr(task, "name", None) or getattr(task, "module_path", None)
    if hasattr(task, "apply_async"):

        def hand_over(message: Message) -> None:
            task.apply_async(args=[message.as_dict()], task_id=message.id)

    elif hasattr(task, "enqueue"):

        def hand_over(message: Message) -> None:
            task.enqueue(message.as_dict())

    else:
        raise OutboxError(
            f"{task!r} is no task of Celery, nor one of Django.",
            hint=f"Let a function receive: @outbox.receiver({topic!r}).",
        )
    add(topic, hand_over, cluster=None, name=name or repr(task), retry=retry)


def add(
    topic: str,
    function: Callable[[Message], Any],
    *,
    cluster: Cluster | None,
    name: str | None,
    retry: Retry | None,
) -> None:
    registered.add(
        Receiver(
            topic=topic,
            function=function,
            name=name or _name_of(function),
            cluster=cluster,
            retry=retry or Retry(),
        )
    )


def run(receiver: Receiver, message: Message, source: str) -> None:
    """Let it receive the message, if it has not; `source` is the sender's identity."""
    cluster = receiver.cluster_of(message)
    if cluster is None:
        _call(receiver, message)
        return
    home = server_of(cluster)
    ensure_tables(home)
    # Shoal's own: what it writes on further clusters is a part of it then.
    unit = atomic(cluster)
    # On SQLite, and in a test, the message is locked in the project's transaction.
    unit.within = message.using
    with unit:
        if note(home, message, receiver.name, source):
            _tell("receipt_written", receiver, message)
            _call(receiver, message)
            refuse_loss(f"The receiver {receiver.name!r}")
            _tell("message_applied", receiver, message)
        else:
            _tell("message_known", receiver, message)
    _tell("receipt_committed", receiver, message)


def _call(receiver: Receiver, message: Message) -> None:
    call(receiver.function, message)
    _tell("receiver_returned", receiver, message)


def _tell(event: str, receiver: Receiver, message: Message) -> None:
    logger.debug(
        event.replace("_", " "),
        extra={"event": event, "message_id": message.id, "receiver": receiver.name},
    )


def _name_of(function: Any) -> str:
    if inspect.isfunction(function) and "<lambda>" not in function.__qualname__:
        return f"{function.__module__}.{function.__qualname__}"
    raise OutboxError(
        f"The receiver {function!r} has no name that is only its own.",
        hint='Give it one: outbox.receiver("...", name="...").',
    )


def _is_again(one: Any, other: Any) -> bool:
    """Say whether it is the same function, or its module was loaded again."""
    if one is other:
        return True
    places = [
        (getattr(f, "__module__", None), getattr(f, "__qualname__", None))
        for f in (one, other)
    ]
    return places[0] == places[1] and inspect.isfunction(one)
