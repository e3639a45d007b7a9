"""`atomic(using="shop")` over several shards, and the shards' own transactions."""

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, transaction
from django.test import override_settings

from shoal.errors import UnitRefused
from shoal.topology.probe.asking import close, open_apart
from shoal.transactions import atomic as unit
from tests.sharded.models import Country, Product
from tests.sharded.places import code_on, names, names_on, product_on
from tests.sharded.servers import only
from tests.sharded.shop import SHARDS, SHOP, TWIN
from tests.waiting import until

FIRST, SECOND, THIRD, _ = SHARDS
# Django 6.1 has given it another name.
savepoint = getattr(transaction, "savepoint_create", transaction.savepoint)


class Stop(Exception):
    pass


def atomic(alias: str = SHOP, **options: Any) -> Any:
    return transaction.atomic(using=alias, **options)


def seen_by_others() -> list[str]:
    """Return the names that another connection sees: what is committed."""
    found: list[str] = []

    def look() -> None:
        try:
            found.extend(names())
        finally:
            connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


def create_product_and_country(name: str, code: str, **options: Any) -> None:
    with atomic(**options):
        product_on(THIRD, name=name)
        Country.objects.using(SHOP).create(code=code, name=name)


def point_to_nothing(product: Product) -> None:
    with atomic():
        product_on(FIRST, name="lost")
        rows = Product.objects.using(SHOP).filter(pk=product.pk)
        assert rows.update(category_id=1) == 1


def test_commits_on_every_shard(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        product_on(THIRD, name="b")
        assert names() == ["a", "b"]
        if shop != "sqlite":
            assert seen_by_others() == []
    assert seen_by_others() == ["a", "b"]
    assert names_on(FIRST) == ["a"]
    assert names_on(THIRD) == ["b"]


def test_rolls_back_on_every_shard(shop: str) -> None:
    product_on(FIRST, name="before")
    with contextlib.suppress(Stop), atomic():
        product_on(FIRST, name="a")
        product_on(THIRD, name="b")
        Product.objects.using(SHOP).filter(name="before").delete()
        raise Stop
    assert names() == ["before"]


@pytest.mark.parametrize("shard", [FIRST, THIRD])
def test_what_a_signal_raises_just_before_a_rollback(
    shop: str, monkeypatch: pytest.MonkeyPatch, shard: str
) -> None:
    """No shard stays in a transaction, in which later writes would be lost."""

    def stop() -> None:
        raise KeyboardInterrupt

    def work() -> None:
        with atomic():
            product_on(FIRST, name="a")
            product_on(THIRD, name="b")
            monkeypatch.setattr(connections[shard], "rollback", stop)
            raise Stop

    with pytest.raises((Stop, KeyboardInterrupt)):
        work()
    monkeypatch.undo()
    for name in (FIRST, THIRD):
        product_on(name, name=name)
    assert seen_by_others() == sorted([FIRST, THIRD])


def test_rolls_back_to_a_savepoint_that_is_older_than_a_shards_part(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            product_on(SECOND, name="lost as well")
            raise Stop
        product_on(SECOND, name="b")
    assert names() == ["a", "b"]


def test_a_shard_that_joins_late_knows_the_savepoints_around(shop: str) -> None:
    with atomic():
        with atomic():
            with contextlib.suppress(Stop), atomic():
                product_on(FIRST, name="lost")
                raise Stop
            product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            with atomic():
                product_on(SECOND, name="lost")
            raise Stop
    assert names() == ["a"]


def test_savepoints_by_hand(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        outer = savepoint(using=SHOP)
        product_on(SECOND, name="lost")
        inner = savepoint(using=SHOP)
        product_on(THIRD, name="lost")
        transaction.savepoint_rollback(inner, using=SHOP)
        assert names() == ["a", "lost"]
        transaction.savepoint_rollback(outer, using=SHOP)
        product_on(SECOND, name="b")
        transaction.savepoint_commit(outer, using=SHOP)
    assert names() == ["a", "b"]


def test_an_error_on_one_shard_can_be_caught_around_a_savepoint(shop: str) -> None:
    with atomic():
        Country.objects.using(SHOP).create(code="de", name="a")
        with pytest.raises(IntegrityError):
            create_product_and_country("lost", "de")
        product_on(SECOND, name="b")
    assert names() == ["b"]
    assert Country.objects.using(SHOP).get().name == "a"


def test_an_error_that_is_not_caught_so_breaks_the_whole(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="lost")
        Country.objects.using(SHOP).create(code="de", name="a")
        with pytest.raises(IntegrityError):
            create_product_and_country("lost", "de", savepoint=False)
        with pytest.raises(transaction.TransactionManagementError):
            names()
    assert names() == []


def test_a_durable_block_is_refused_inside_of_another(shop: str) -> None:
    with atomic(), pytest.raises(RuntimeError, match="durable"), atomic(durable=True):
        raise AssertionError("not reached")
    with atomic(durable=True):
        product_on(SECOND, name="a")
    assert names() == ["a"]


def test_on_commit_is_called_once_and_after_all_have_committed(shop: str) -> None:
    seen: list[Any] = []
    with atomic():
        product_on(FIRST, name="a")
        transaction.on_commit(lambda: seen.append(seen_by_others()), using=SHOP)
        product_on(SECOND, name="b")
        with contextlib.suppress(Stop), atomic():
            transaction.on_commit(lambda: seen.append("rolled back"), using=SHOP)
            raise Stop
        assert seen == []
    assert seen == [["a", "b"]]


def test_on_commit_of_a_shard_goes_with_its_savepoint(shop: str) -> None:
    seen: list[str] = []
    with atomic():
        product_on(FIRST, name="a")
        with contextlib.suppress(Stop), atomic():
            product_on(FIRST, name="lost")
            transaction.on_commit(lambda: seen.append("lost"), using=FIRST)
            raise Stop
        transaction.on_commit(lambda: seen.append("kept"), using=FIRST)
    assert seen == ["kept"]


def test_on_commit_of_a_shard_waits_for_all_shards(shop: str) -> None:
    seen: list[Any] = []
    with atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.on_commit(lambda: seen.append(seen_by_others()), using=FIRST)
    assert seen == [["a", "b"]]


def test_on_commit_of_a_shard_stays_when_two_blocks_in_it_fail(shop: str) -> None:
    seen: list[str] = []
    with atomic():
        product_on(FIRST, name="a")
        transaction.on_commit(lambda: seen.append("a"), using=FIRST)
        with contextlib.suppress(Stop), atomic():
            with contextlib.suppress(Stop), atomic(FIRST):
                product_on(FIRST, name="b")
                raise Stop
            transaction.on_commit(lambda: seen.append("lost"), using=FIRST)
            raise Stop
    assert (seen, names()) == (["a"], ["a"])


@pytest.mark.parametrize("shard", [FIRST, THIRD])
def test_on_commit_of_a_shard_in_a_unit_waits_for_all(shop: str, shard: str) -> None:
    seen: list[Any] = []
    with unit(SHOP, best_effort=True):
        product_on(FIRST, name="a")
        product_on(THIRD, name="b")
        transaction.on_commit(lambda: seen.append(seen_by_others()), using=shard)
        with contextlib.suppress(Stop), unit(SHOP, best_effort=True):
            product_on(shard, name="c")
            transaction.on_commit(lambda: seen.append("lost"), using=shard)
            raise Stop
    assert seen == [["a", "b"]]
    with contextlib.suppress(Stop), unit(SHOP, best_effort=True):
        product_on(FIRST, name="c")
        product_on(THIRD, name="d")
        transaction.on_commit(lambda: seen.append("lost"), using=shard)
        raise Stop
    with unit(SHOP, best_effort=True):
        product_on(shard, name="e")
    assert seen == [["a", "b"]]


def test_the_alias_of_a_shard_takes_part(shop: str) -> None:
    there = product_on(SECOND, name="there")
    with contextlib.suppress(Stop), atomic():
        Product.objects.using(SECOND).filter(pk=there.pk).update(name="changed")
        assert names() == ["changed"]
        assert names_on(SECOND) == ["changed"]
        raise Stop
    assert names_on(SECOND) == ["there"]


def test_raw_sql_on_the_alias_of_a_shard_takes_part(shop: str) -> None:
    product_on(SECOND, name="there")
    with contextlib.suppress(Stop), atomic():
        with connections[SECOND].cursor() as cursor:
            cursor.execute("UPDATE sharded_product SET name = 'changed'")
        assert names() == ["changed"]
        raise Stop
    assert names() == ["there"]


def test_a_cursor_of_a_shard_that_was_open_before_takes_part(shop: str) -> None:
    product_on(SECOND, name="there")
    with connections[SECOND].cursor() as cursor:
        with contextlib.suppress(Stop), atomic():
            cursor.execute("UPDATE sharded_product SET name = 'changed'")
            raise Stop
        assert names() == ["there"]


@pytest.fixture
def clusters(shop: str) -> Iterator[None]:
    """The shop, and its twin as a cluster of its own, with another table."""
    setting = copy.deepcopy(settings.SHOAL)
    setting["CLUSTERS"][TWIN] = {}
    with override_settings(SHOAL=setting), connections[TWIN].cursor() as cursor:
        cursor.execute("CREATE TABLE note (id integer PRIMARY KEY)")
        try:
            yield
        finally:
            cursor.execute("DROP TABLE note")


@only("postgresql")
@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (transaction.atomic(using=SECOND), unit(SHOP, TWIN)),
        (transaction.atomic(using=SHOP), unit(SECOND, TWIN)),
        (unit(SHOP), unit(SECOND, TWIN)),
        (unit(SECOND), unit(SHOP, TWIN)),
        (transaction.atomic(using=SECOND), unit(SHOP)),
        (unit(SECOND), unit(SHOP)),
    ],
)
def test_a_unit_over_clusters_sees_a_block_of_a_shard_or_of_all(
    clusters: None, outer: Any, inner: Any
) -> None:
    with outer, pytest.raises(UnitRefused, match="A transaction is open on"), inner:
        raise AssertionError("not reached")


@only("postgresql", "mariadb")
@pytest.mark.parametrize("outer", [unit, atomic])
@pytest.mark.parametrize("has_joined", [False, True])
def test_a_unit_of_a_shard_is_a_part_of_one_of_all(
    shop: str, outer: Any, has_joined: bool
) -> None:
    with contextlib.suppress(Stop), outer(SHOP):
        if has_joined:
            names_on(SECOND)
        with unit(SECOND):
            product_on(SECOND, name="a")
        with contextlib.suppress(KeyError), unit(SECOND):
            product_on(SECOND, name="lost")
            raise KeyError
        assert names() == ["a"]
        raise Stop
    assert names() == []
    with outer(SHOP), unit(SECOND):
        product_on(SECOND, name="a")
    assert names() == ["a"]
    assert not connections[SECOND].in_atomic_block


def test_a_shard_in_a_transaction_of_its_own(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with contextlib.suppress(Stop), atomic(SECOND):
        of_shard.update(name="changed")
        assert names() == ["changed"]
        with atomic():
            product_on(FIRST, name="stays")
            assert names() == ["changed", "stays"]
        raise Stop
    assert names() == ["stays", "there"]


def test_a_shards_own_block_inside_of_one_of_all(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with atomic():
        with contextlib.suppress(Stop), atomic(SECOND):
            of_shard.update(name="lost")
            product_on(FIRST, name="not of that block")
            raise Stop
        assert names() == ["not of that block", "there"]
        with atomic(SECOND):
            of_shard.update(name="changed")
    assert names() == ["changed", "not of that block"]
    with contextlib.suppress(Stop), atomic():
        with atomic(SECOND):
            of_shard.update(name="lost")
        raise Stop
    assert names() == ["changed", "not of that block"]


def test_a_savepoint_begun_in_a_shards_own_block(shop: str) -> None:
    there = product_on(SECOND, name="there")
    of_shard = Product.objects.using(SECOND).filter(pk=there.pk)
    with atomic():
        names_on(SECOND)
        for alias in (SHOP, SECOND):
            # Django counts savepoints so, and names them by that.
            connections[alias].savepoint_state = 10
        with contextlib.suppress(Stop), atomic(SECOND):
            of_shard.update(name="lost")
            savepoint(using=SHOP)
            raise Stop
        assert names() == ["there"]


def test_without_autocommit(shop: str) -> None:
    transaction.set_autocommit(False, using=SHOP)
    try:
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.rollback(using=SHOP)
        product_on(FIRST, name="c")
        product_on(SECOND, name="d")
        transaction.commit(using=SHOP)
    finally:
        transaction.rollback(using=SHOP)
        transaction.set_autocommit(True, using=SHOP)
    assert seen_by_others() == ["c", "d"]


def test_set_rollback(shop: str) -> None:
    with atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        transaction.set_rollback(True, using=SHOP)
    assert names() == []


def test_a_read_alone_leaves_no_transaction_open(shop: str) -> None:
    product_on(FIRST, name="a")
    with atomic():
        assert names() == ["a"]
    for shard in SHARDS:
        assert not connections[shard].in_atomic_block
        assert connections[shard].get_autocommit()


def test_a_constraint_checked_at_the_end_spares_all_shards(shop: str) -> None:
    if not connections[FIRST].features.supports_deferrable_unique_constraints:
        pytest.skip("no constraint is checked at the end of a transaction here")
    product = product_on(SECOND, name="there")
    with pytest.raises(IntegrityError):
        point_to_nothing(product)
    assert names() == ["there"]


def test_a_shard_that_is_lost_before_it_joins_can_join_again(shop: str) -> None:
    if shop == "sqlite":
        pytest.skip("A file is not lost.")
    sessions = {shard: session_of(shard) for shard in (SECOND, THIRD)}
    with atomic():
        country_on(FIRST, name="a")
        end_session(sessions[SECOND])
        with pytest.raises(OperationalError), atomic():
            country_on(SECOND, name="lost")
        country_on(SECOND, name="b")
        end_session(sessions[THIRD])
        with pytest.raises(OperationalError), atomic():
            list(Country.objects.using(SHOP).all())
        country_on(THIRD, name="c")
    found = Country.objects.using(SHOP).values_list("name", flat=True)
    assert sorted(found) == ["a", "b", "c"]


def country_on(shard: str, name: str) -> Country:
    return Country.objects.using(SHOP).create(code=code_on(shard), name=name)


def session_of(shard: str) -> int:
    """Return what the server calls the session of our own connection to a shard."""
    connection = connections[connections[SHOP].registered(shard)]
    is_postgresql = connection.vendor == "postgresql"
    asked = "pg_backend_pid()" if is_postgresql else "connection_id()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {asked}")
        [number] = cursor.fetchone()
    return int(number)


def end_session(number: int) -> None:
    apart: Any = open_apart(FIRST)
    is_postgresql = apart.vendor == "postgresql"
    end = f"pg_terminate_backend({number}, 10000)"
    with apart.cursor() as cursor:
        cursor.execute(f"SELECT {end}" if is_postgresql else f"KILL {number}")
        until(lambda: is_postgresql or not _is_listed(cursor, number))
    close(apart)


def _is_listed(cursor: Any, number: int) -> bool:
    cursor.execute(f"SELECT 1 FROM information_schema.processlist WHERE id = {number}")
    return cursor.fetchone() is not None


def test_closing_inside_of_a_transaction_rolls_back(shop: str) -> None:
    with contextlib.suppress(Stop), atomic():
        product_on(FIRST, name="a")
        product_on(SECOND, name="b")
        connections[SHOP].close()
        raise Stop
    assert names() == []
    product_on(SECOND, name="c")
    assert seen_by_others() == ["c"]
