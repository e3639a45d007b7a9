"""Takes a message, writes it in the transaction of what it tells of."""

import json
import logging
import uuid
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections
from django.db.models import Model

from shoal.errors import OutboxError
from shoal.transactions.outbox.addressing import address
from shoal.transactions.outbox.moments import NOW
from shoal.transactions.outbox.own_connection import change, ensure_tables
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions.outbox")

LONGEST = 255
"""Characters of a topic or a key, as `ExactText` holds them."""
_INSERT = (
    'INSERT INTO "shoal_message" '
    '("message", "topic", "key", "body", "attempts", "due", "sent", "done") '
    "VALUES (%s, %s, %s, %s, 0, {now}, {now}, '[]')"
)


def send(
    topic: str,
    body: Any = None,
    *,
    key: Any = None,
    using: Alias | None = None,
    instance: Model | None = None,
) -> str:
    """
    Write a message in the open transaction of a database, and return its id.

    It exists if that transaction commits. The database is that of `using`, that of the
    row `instance`, or the only one with a transaction open; of a sharded alias it is
    one shard. Messages of one database with the same `key` are delivered one at a
    time, in order. Raises `OutboxError` outside of a transaction.
    """
    topic = _name("topic", topic)
    key = None if key is None else _name("key", str(key))
    text = json.dumps(body, cls=DjangoJSONEncoder, allow_nan=False)
    alias = address(using, instance)
    ensure_tables(alias)
    id = uuid.uuid4().hex
    sql = _INSERT.format(now=NOW[connections[alias].vendor])
    change(alias, sql, id, topic, key, text)
    logger.debug(
        "message sent",
        extra={
            "event": "message_sent",
            "message_id": id,
            "topic": topic,
            "key": key,
            "alias": alias,
        },
    )
    return id


def _name(what: str, text: Any) -> str:
    if isinstance(text, str) and 0 < len(text) <= LONGEST and "\0" not in text:
        return text
    raise OutboxError(
        f"{str(text)[:LONGEST]!r} cannot be the {what} of a message.",
        hint=f"A {what} is text of 1 to {LONGEST} characters.",
    )
