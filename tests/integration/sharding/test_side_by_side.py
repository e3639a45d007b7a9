"""
What becomes of shards that work at the same time, where one of them fails, is lost, or
nobody waits any more.
"""

import contextlib
import datetime
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import OperationalError, connections
from django.db.models import Max
from django.test import override_settings

from shoal.sharding import side_by_side
from shoal.sharding.folding import fold_of
from shoal.sharding.ordering import OrderKey, sorted_rows
from shoal.sharding.scattering import Answer
from shoal.sharding.side_by_side import Asked
from tests.sharded.models import Product
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP

products = Product.objects
UTC = datetime.UTC


def test_nobody_leaves_while_a_thread_asks(
    goods: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while others are at work: they are stopped first."""
    if goods != "postgresql":
        pytest.skip("One kind of server is enough.")
    there = [connections[shard] for shard in SHARDS]
    begun, wait = threading.Event(), side_by_side.wait
    ended: list[str] = []
    all_begun = threading.Barrier(len(SHARDS))

    class Sleeps:
        def __init__(self, connection: Any) -> None:
            self.connection, self.cursor = connection, connection.cursor()

        def execute(self, sql: str, params: Any) -> None:
            all_begun.wait(timeout=60)
            if self.connection is there[-1]:
                monkeypatch.setattr(side_by_side, "wait", interrupted)
                return
            try:
                self.cursor.execute(sql, params)
            finally:
                time.sleep(0.3)
                ended.append(self.connection.alias)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if begun.is_set():
            return wait(*args, **kwargs)
        begun.set()
        raise KeyboardInterrupt

    asked = [Asked(alias=c.alias, connection=c, cursor=Sleeps(c)) for c in there]
    with pytest.raises(KeyboardInterrupt):
        side_by_side.ask(asked, "SELECT pg_sleep(%s)", [60])
    assert sorted(ended) == [*SHARDS[:-1]]


def test_shards_are_asked_in_turn_where_no_thread_begins(
    goods: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Python ends, and what was registered for that asks."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    monkeypatch.setattr(side_by_side, "_threads", pool)
    assert products.using(SHOP).count() == 25


@contextlib.contextmanager
def lost(*shards: str) -> Iterator[None]:
    """Let the connections to some shards be closed by somebody else."""
    for shard in shards:
        connections[shard].connection.close()
    try:
        yield
    finally:
        for shard in shards:
            connections[shard].close()


def test_every_cursor_is_closed_where_one_cannot_be() -> None:
    closed: list[str] = []

    class Cursor:
        description = None

        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            raise OperationalError(self.name)

    asked = [Asked(alias=s, connection=None, cursor=Cursor(s)) for s in SHARDS]
    with pytest.raises(OperationalError):
        Answer(asked, iter(())).close()
    assert sorted(closed) == [*SHARDS]


def test_a_lost_shard_is_known_to_be_lost(goods: str) -> None:
    """Or its connection would be taken for usable in the next request."""
    if goods != "postgresql":
        pytest.skip("Others send all rows at once.")
    made = product_on(SHARDS[1])
    one = products.using(SHOP).filter(pk=made.pk).iterator(chunk_size=1)
    next(one)
    with lost(SHARDS[1]):
        with pytest.raises(Exception, match="closed"):
            list(one)
        assert connections[SHARDS[1]].errors_occurred


def test_an_hour_that_comes_twice() -> None:
    """Python would compare what the clock shows."""
    zone = ZoneInfo("America/Chicago")
    first = datetime.datetime(2024, 11, 3, 6, 45, tzinfo=UTC)
    both = first, first + datetime.timedelta(minutes=30)
    rows = [(time.astimezone(zone),) for time in both]
    assert rows[1][0] < rows[0][0]
    keys = [OrderKey(0, descending=False, nulls_first=False)]
    assert sorted_rows(rows[::-1], keys) == rows
    added = Max("added").resolve_expression(products.all().query)
    assert fold_of(added, "postgresql")([row[0] for row in rows]) is rows[1][0]
    with override_settings(USE_TZ=False, TIME_ZONE="America/Chicago"):
        assert fold_of(added, "postgresql") is None
