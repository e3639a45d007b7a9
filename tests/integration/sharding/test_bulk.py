"""Many rows are written by all their shards at the same time, and by all or none."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import F, Subquery, Value
from django.db.models.functions import Concat

from shoal.routing.context import current_unit
from shoal.sharding import side_by_side
from shoal.sharding.side_by_side import Asked, Question
from shoal.sharding.writing import together
from shoal.topology.probe.asking import close, open_apart
from tests.sharded.models import Category, Product, Tag
from tests.sharded.places import names, names_on, product_on
from tests.sharded.servers import only
from tests.sharded.shop import SHARDS, SHOP
from tests.waiting import until

FIRST, SECOND, *_ = SHARDS
products = Product.objects.using(SHOP)
postgresql = only("postgresql")

_WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted "
    "AND relation = 'sharded_product'::regclass AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Elsewhere:
    """Connections to the shards that nobody else has, for locks and for questions."""

    def __init__(self) -> None:
        self._cursors: dict[str, Any] = {}

    def __enter__(self) -> "Elsewhere":
        for shard in SHARDS:
            self._cursors[shard] = open_apart(shard).cursor()
        return self

    def __exit__(self, *error: object) -> None:
        for cursor in self._cursors.values():
            close(cursor.db)

    def lock(self, *shards: str) -> None:
        for shard in shards:
            self._cursors[shard].execute("BEGIN")
            self._cursors[shard].execute("LOCK TABLE sharded_product IN SHARE MODE")

    def let_go(self, *shards: str) -> None:
        for shard in shards:
            self._cursors[shard].execute("ROLLBACK")

    def waiting(self) -> list[str]:
        """Return the shards where somebody waits for the table."""
        found = []
        for shard, cursor in self._cursors.items():
            cursor.execute(_WAITING)
            found += [shard] * cursor.fetchone()[0]
        return found


@pytest.fixture
def elsewhere(shop: str) -> Iterator[Elsewhere]:
    with Elsewhere() as found:
        yield found


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "PATIENCE", 60.0)


@contextlib.contextmanager
def another() -> Iterator[Callable[..., "Future[Any]"]]:
    """Run what the block submits in a thread with connections of its own."""
    with ThreadPoolExecutor() as pool:

        def run(do: Callable[[], Any]) -> Any:
            try:
                return do()
            finally:
                connections.close_all()

        yield lambda do: pool.submit(run, do)


def on_each_shard(**values: Any) -> list[Product]:
    return [product_on(shard, **values) for shard in SHARDS]


def fresh(count: int = 40) -> list[Product]:
    return [Product(name=f"n{number}") for number in range(count)]


WRITES: dict[str, Callable[[], Any]] = {
    "bulk_create": lambda: products.bulk_create(fresh()),
    "update": lambda: products.update(name="new"),
    "delete": lambda: products.all().delete(),
    "bulk_update": lambda: products.bulk_update(
        [*map(renamed, products.order_by("pk"))], ["name"]
    ),
}


def renamed(product: Product) -> Product:
    product.name = "new"
    return product


@postgresql
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_all_shards_are_at_work_at_once(
    elsewhere: Elsewhere, write: Callable[[], Any]
) -> None:
    on_each_shard()
    elsewhere.lock(*SHARDS)
    with another() as run:
        done = run(write)
        try:
            until(lambda: elsewhere.waiting() == [*SHARDS])
        finally:
            elsewhere.let_go(*SHARDS)
        done.result(50)


@postgresql
@pytest.mark.usefixtures("patient")
def test_who_fails_stops_the_others(elsewhere: Elsewhere) -> None:
    there = product_on(FIRST)
    elsewhere.lock(SECOND)
    new = [Product(pk=there.pk), *fresh()]

    def write() -> None:
        with pytest.raises(IntegrityError), transaction.atomic(using=SHOP):
            products.bulk_create(new)

    with another() as run:
        done = run(write)
        try:
            done.result(50)
        finally:
            elsewhere.let_go(SECOND)
    assert names() == [""]


def test_one_that_fails_leaves_nothing_on_any_shard(shop: str) -> None:
    there = product_on(FIRST, name="there")
    with transaction.atomic(using=SHOP):
        products.create(name="before")
        with pytest.raises(IntegrityError), transaction.atomic(using=SHOP):
            products.bulk_create([*fresh(), Product(pk=there.pk)])
        assert names() == ["before", "there"]
    assert names() == ["before", "there"]


@postgresql
def test_the_error_names_the_shard(elsewhere: Elsewhere) -> None:
    on_each_shard()
    elsewhere.lock(SECOND)

    def write() -> None:
        with transaction.atomic(using=SHOP):
            with connections[SECOND].cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1ms'")
            products.update(name="new")

    with pytest.raises(OperationalError, match=f"On the shard '{SECOND}'"):
        write()
    elsewhere.let_go(SECOND)
    assert names() == [""] * 4


@postgresql
@pytest.mark.parametrize("depth", [0, 1])
def test_two_that_write_the_same_rows_do_not_wait_for_ever(
    shop: str, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    """Each has the rows of a shard that the other wants: no server sees that."""
    on_each_shard()
    monkeypatch.setattr(together, "PATIENCE", 0.2)
    has = {FIRST: threading.Event(), SECOND: threading.Event()}
    execute = together._Undoable.execute

    def crosswise(self: Any, sql: str, params: Any) -> None:
        mine, other = (FIRST, SECOND) if "one" in params else (SECOND, FIRST)
        if self.alias == other:
            assert has[other].wait(50)
        execute(self, sql, params)
        if self.alias == mine:
            has[mine].set()

    monkeypatch.setattr(together._Undoable, "execute", crosswise)

    def write(name: str) -> int:
        with transaction.atomic(using=SHOP) if depth else contextlib.nullcontext():
            return products.update(name=name)

    with another() as run:
        both = [run(lambda n=name: write(n)) for name in ("one", "two")]
        assert [done.result(50) for done in both] == [4, 4]
    assert names() in ([["one"] * 4, ["two"] * 4])


@postgresql
def test_who_waits_for_a_lock_goes_on_once_it_is_free(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "PATIENCE", 0.01)
    elsewhere.lock(SECOND)
    with another() as run:
        done = run(lambda: products.bulk_create(fresh()))
        try:
            until(lambda: elsewhere.waiting() == [SECOND])
            # The other shards have let go of what they had done.
            until(lambda: not elsewhere_sees_writes(elsewhere))
        finally:
            elsewhere.let_go(SECOND)
        made = done.result(50)
    assert [products.get(pk=one.pk).name for one in made] == [p.name for p in fresh()]


def elsewhere_sees_writes(elsewhere: Elsewhere) -> bool:
    """Say whether somebody has written on the last shard, and not let go."""
    cursor = elsewhere._cursors[SHARDS[3]]
    cursor.execute(
        "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock' "
        "AND relation = 'sharded_product'::regclass AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return bool(cursor.fetchone()[0])


def test_objects_keep_their_order(shop: str) -> None:
    made = products.bulk_create(fresh(), batch_size=15)
    assert [one.name for one in made] == [f"n{number}" for number in range(40)]
    assert all(names_on(shard) for shard in SHARDS)
    found = products.in_bulk([one.pk for one in made])
    assert [found[one.pk].name for one in made] == [one.name for one in made]


def test_no_shard_sees_the_rows_that_another_gets(shop: str) -> None:
    """As an INSERT does not see its own, on one database."""
    Tag.objects.using(SHOP).create(name="a")
    last = Subquery(Tag.objects.order_by("-name").values("name")[:1])
    Tag.objects.using(SHOP).bulk_create(
        [Tag(name=Concat(last, Value("b"))) for _ in range(20)]
    )
    found = Tag.objects.using(SHOP).order_by("name").values_list("name", flat=True)
    assert [*found] == ["a", *["ab"] * 20]


def test_a_mix_of_values_and_expressions(shop: str) -> None:
    new = fresh()
    for number in range(0, 40, 3):
        new[number].name = Concat(Value("n"), Value(str(number)))
    made = products.bulk_create(new)
    found = products.in_bulk([one.pk for one in made])
    assert [found[one.pk].name for one in made] == [one.name for one in fresh()]


@postgresql
def test_rows_of_every_shard_are_locked_on_the_first_one_first(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who changes the same row of a reference table waits there, and not crosswise."""
    category = Category.objects.using(SHOP).create(name="c", rank=0)
    order: list[str] = []
    put = Question.hand

    def hand(self: Question, one: Asked, sql: str, params: Any) -> None:
        with connections[FIRST].cursor() as cursor:
            cursor.execute("SELECT max(rank) FROM sharded_category")
            order.append(f"{one.alias} {cursor.fetchone()[0]}")
        put(self, one, sql, params)

    monkeypatch.setattr(Question, "hand", hand)
    Category.objects.using(SHOP).filter(pk=category.pk).update(rank=F("rank") + 1)
    assert order == [f"{shard} 1" for shard in SHARDS[1:]]
    assert {c.rank for s in SHARDS for c in Category.objects.using(s)} == {1}


class Fake:
    """A shard that runs a function."""

    vendor = "none"

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run, self.connection = run, self

    def interrupt(self) -> None:
        """Nobody has to be stopped."""

    def execute(self, sql: str, params: Any) -> None:
        self.run()

    def asked(self) -> Asked:
        return Asked(alias="fake", connection=self, cursor=self)


def test_what_a_thread_writes_its_unit_of_work_has_written() -> None:
    def write() -> None:
        units: list[Any] = []
        with Question() as question:
            question.hand(Fake(lambda: units.append(current_unit())).asked(), "", ())
        assert units == [current_unit()]

    Context().run(write)


def test_nobody_needs_a_thread_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them may wait for what the one that asks has locked."""
    free, ran = threading.Event(), []
    with ThreadPoolExecutor(1) as pool, another() as run:
        monkeypatch.setattr(side_by_side, "_threads", pool)
        pool.submit(free.wait, 120)
        asked = [Fake(lambda n=n: ran.append(n)).asked() for n in range(4)]
        try:
            run(lambda: side_by_side.ask(asked, "", ())).result(60)
        finally:
            free.set()
    assert sorted(ran) == [0, 1, 2, 3]
