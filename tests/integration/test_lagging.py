"""Replicas show the data of the beginning of a block, mirrors and real ones alike."""

import contextlib
import contextvars
import copy
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import Count
from django.test import AsyncClient, Client, override_settings
from pytest_django import DjangoDbBlocker

from shoal.errors import LaggingError, ReplicaWrite, UnknownCluster
from shoal.lab import Lab, MariaDB
from shoal.routing import choices, fresh, pinned, stale, unit_of_work
from shoal.routing.health import get_watch, stop_watching
from shoal.testing import (
    TestCase,
    TransactionTestCase,
    assertQueriesOn,
    lagging,
    mirrored,
)
from shoal.testing.mirrors import observed_by
from shoal.topology.probe.asking import close
from tests.integration.publishing.conftest import aliases
from tests.project.catalog.models import Bundle, Product, Tag
from tests.waiting import until

REPLICAS = {"catalog_r1", "catalog_r2"}


def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


def run(sql: str, alias: str = "catalog") -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def create_and_fail() -> None:
    with lagging("catalog"), lagging("catalog"):
        Product.objects.create(name="new")
        raise RuntimeError


def fail_in_a_transaction() -> None:
    with transaction.atomic(using="catalog"), lagging("catalog"):
        run("SELECT nonsense")


def is_copied() -> bool:
    with connections["catalog"].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('shoal_lagging') IS NOT NULL")
        return bool(cursor.fetchone()[0])


class Promises:
    """What holds for mirrors in a transaction, for mirrors outside, and for servers."""

    def setUp(self) -> None:
        Product.objects.create(name="old")

    def test_a_visitor_sees_the_own_write_and_others_the_old_data(self) -> None:
        with lagging("catalog"):
            visitor, other = Client(), Client()
            assert visitor.post("/products/", {"name": "new"}).cookies["shoal_token"]
            for _ in range(3):
                assert visitor.get("/products/").json() == ["new", "old"]
                assert other.get("/products/").json() == ["old"]

    def test_the_same_under_async(self) -> None:
        async def flow() -> tuple[list[str], list[str]]:
            visitor = AsyncClient()
            async with lagging("catalog"):
                await visitor.post("/products/", {"name": "new"})
                mine = await visitor.get("/products/")
                other = await AsyncClient().get("/products/")
            return mine.json(), other.json()

        assert async_to_sync(flow)() == (["new", "old"], ["old"])

    def test_a_unit_of_work_reads_from_a_replica_until_it_writes(self) -> None:
        with lagging("catalog"):
            with unit_of_work():
                Product.objects.create(name="new")
            # What it has written itself, the replicas show: that was before.
            assert names() == ["old"]
            assert choices()["catalog"].alias in REPLICAS
            Tag.objects.create(name="written")
            assert names() == ["new", "old"]
            assert choices()["catalog"].reason == "own write"
            with stale("catalog"):
                assert names() == ["old"]
            with fresh("catalog"):
                assert names() == ["new", "old"]
            with unit_of_work():
                assert names() == ["old"]
                with pinned("catalog"):
                    assert names() == ["new", "old"]

    def test_a_transaction_of_the_project_counts_as_committed(self) -> None:
        with lagging("catalog"), unit_of_work():
            with transaction.atomic(using="catalog"):
                Product.objects.create(name="new")
                assert choices() == {}
                assert names() == ["new", "old"]
                assert choices()["catalog"].reason == "transaction"
            assert names() == ["new", "old"]
            assert choices()["catalog"].reason == "own write"

    def test_changes_and_deletions_are_not_seen_either(self) -> None:
        Product.objects.create(name="deleted")
        with lagging("catalog"):
            with unit_of_work():
                Product.objects.filter(name="deleted").delete()
                Product.objects.update(name="changed")
            with unit_of_work():
                assert names() == ["deleted", "old"]
        with unit_of_work(), pinned():
            assert names() == ["changed"]

    def test_blocks_nest_and_the_first_moment_counts(self) -> None:
        with lagging("catalog"):
            with unit_of_work():
                Product.objects.create(name="new")
            for _ in range(2):
                with lagging():
                    assert names() == ["old"]
                assert names() == ["old"]

    def test_whatever_is_raised_the_block_ends(self) -> None:
        with pytest.raises(RuntimeError):
            create_and_fail()
        with lagging("catalog"), unit_of_work():
            assert names() == ["new", "old"]

    def test_writes_on_a_replica_stay_refused(self) -> None:
        with lagging("catalog"), pytest.raises(ReplicaWrite):
            Product.objects.using("catalog_r1").update(name="new")

    def test_decorates(self) -> None:
        @lagging("catalog")
        def write_and_read() -> list[str]:
            with unit_of_work():
                Product.objects.create(name="new")
            with unit_of_work():
                return names()

        @lagging("catalog")
        async def read() -> list[str]:
            return [p.name async for p in Product.objects.order_by("name")]

        assert write_and_read() == ["old"]
        with unit_of_work():
            assert async_to_sync(read)() == ["new", "old"]

    def test_a_server_side_cursor_reads_the_old_rows(self) -> None:
        with lagging("catalog"):
            with unit_of_work():
                Product.objects.create(name="new")
            rows = Product.objects.using("catalog_r1").iterator(chunk_size=1)
            assert [row.name for row in rows] == ["old"]


class OfMirrors(Promises):
    """What a copy of the rows has to be careful of."""

    def test_queries_are_counted_under_the_alias(self) -> None:
        with (
            lagging("catalog"),
            assertQueriesOn("catalog", 0),
            assertQueriesOn("catalog_r1", 1),
        ):
            assert Product.objects.using("catalog_r1").count() == 1

    def test_an_error_on_a_mirror_leaves_the_primary_as_it_was(self) -> None:
        with lagging("catalog"):
            Product.objects.create(name="new")
            with pytest.raises(DatabaseError):
                run("SELECT nonsense", "catalog_r1")
            with pinned():
                assert names() == ["new", "old"]
            Tag.objects.create(name="still writing")

    def test_a_function_cannot_write_on_a_mirror(self) -> None:
        with lagging("catalog"):
            with pytest.raises(DatabaseError, match="read-only transaction"):
                run("SELECT nextval('catalog_tag_id_seq')", "catalog_r1")
            run("SELECT nextval('catalog_tag_id_seq')", "catalog")

    def test_relations_groups_and_inheritance_of_models(self) -> None:
        bundle = Bundle.objects.create(name="set", discount=5)
        bundle.tags.add(Tag.objects.create(name="a"), Tag.objects.create(name="b"))
        with lagging("catalog"):
            bundle.tags.clear()
            Bundle.objects.update(discount=6)
            counted = Product.objects.using("catalog_r1").annotate(n=Count("tags"))
            assert [p.n for p in counted.order_by("pk")] == [0, 2]
            assert Bundle.objects.using("catalog_r1").get().discount == 5

    def test_leaves_nothing_behind(self) -> None:
        path, wrappers = current_path(), list(connections["catalog"].execute_wrappers)
        with lagging("catalog"):
            assert is_copied()
            names()
            assert current_path() == path
        assert not is_copied()
        assert current_path() == path
        assert connections["catalog"].execute_wrappers == wrappers


def current_path() -> str:
    with connections["catalog"].cursor() as cursor:
        cursor.execute("SHOW search_path")
        return str(cursor.fetchone()[0])


class InATransactionTests(OfMirrors, TestCase):
    def test_before_the_block_and_after_it_the_transaction_counts(self) -> None:
        assert names() == ["old"]
        assert choices()["catalog"].reason == "transaction"
        with lagging("catalog"):
            assert names() == ["old"]
            assert choices()["catalog"].alias in REPLICAS
        assert names() == ["old"]
        assert choices()["catalog"].reason == "transaction"

    def test_a_failed_statement_on_the_primary_is_the_tests_own(self) -> None:
        with pytest.raises(DatabaseError, match="nonsense"):
            fail_in_a_transaction()
        assert not is_copied()
        with lagging("catalog"):
            assert names() == ["old"]

    def test_relations_that_are_no_plain_tables(self) -> None:
        run("CREATE VIEW seen AS SELECT name FROM catalog_product")
        run("CREATE MATERIALIZED VIEW kept AS SELECT name FROM catalog_product")
        run("CREATE TABLE base (id int PRIMARY KEY)")
        run("CREATE TABLE derived () INHERITS (base)")
        run("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id)")
        run("CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1, 2)")
        run("CREATE TABLE doubled (n int, d int GENERATED ALWAYS AS (n * 2) STORED)")
        run('CREATE TABLE "Mixed %s Case" (id int GENERATED ALWAYS AS IDENTITY)')
        run("INSERT INTO base VALUES (1); INSERT INTO derived VALUES (1)")
        run("INSERT INTO parts VALUES (1); INSERT INTO doubled VALUES (1)")
        with lagging("catalog"):
            run("INSERT INTO catalog_product (name) VALUES ('new')")
            run("REFRESH MATERIALIZED VIEW kept")
            run("INSERT INTO derived VALUES (2); INSERT INTO parts VALUES (2)")
            run("UPDATE doubled SET n = 2")
            for what, old, new in [
                ("SELECT count(*) FROM seen", 1, 2),
                ("SELECT count(*) FROM kept", 1, 2),
                ("SELECT count(*) FROM base", 2, 3),
                ("SELECT count(*) FROM ONLY base", 1, 1),
                ("SELECT count(*) FROM parts", 1, 2),
                ("SELECT count(*) FROM part_1", 1, 2),
                ("SELECT d FROM doubled", 2, 4),
            ]:
                for alias, value in (("catalog_r2", old), ("catalog", new)):
                    with connections[alias].cursor() as cursor:
                        cursor.execute(what)
                        assert cursor.fetchone() == (value,), (what, alias)


class OutsideOfATransactionTests(OfMirrors, TransactionTestCase):
    pass


@pytest.mark.shoal(mirror_replicas=False)
class OnRealReplicasTests(Promises, TransactionTestCase):
    mirror_replicas = False

    def test_the_servers_go_on_afterwards(self) -> None:
        with lagging("catalog"), unit_of_work():
            Product.objects.create(name="new")
        with unit_of_work():
            for alias in sorted(REPLICAS):
                until(lambda a=alias: Product.objects.using(a).count() == 2)

    def test_the_servers_have_been_looked_at_before_anything_is_written(self) -> None:
        """A lag is counted by what the primary was seen at."""
        stop_watching()
        with unit_of_work(), lagging("catalog"):
            assert all(seen.position for seen in get_watch().health.values())

    def test_what_somebody_has_left_paused_is_resumed_first(self) -> None:
        run("SELECT pg_wal_replay_pause()", "catalog_r1")
        Product.objects.create(name="new")
        with lagging("catalog"), unit_of_work():
            assert Product.objects.using("catalog_r1").count() == 2

    def test_inside_a_transaction_it_makes_no_sense(self) -> None:
        with pytest.raises(LaggingError) as caught:
            fail_in_a_transaction()
        assert str(caught.value) == (
            "A transaction is open on 'catalog', and no real replica shows what is "
            "done in it.\n"
            "Hint: Use a TransactionTestCase, or django_db(transaction=True)."
        )


@pytest.mark.django_db
def test_in_the_transaction_of_pytest() -> None:
    Product.objects.create(name="old")
    with lagging("catalog"):
        visitor = Client()
        visitor.post("/products/", {"name": "new"})
        assert visitor.get("/products/").json() == ["new", "old"]
        assert Client().get("/products/").json() == ["old"]


def test_with_a_fixture_of_pytest(db: None) -> None:
    with lagging("catalog"):
        Client().post("/products/", {"name": "new"})
        assert Client().get("/products/").json() == []


def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(UnknownCluster, match="Did you mean 'catalog'"):
        lagging("catalgo")


def test_a_cluster_without_replicas() -> None:
    with pytest.raises(LaggingError) as caught:
        lagging("feedback")
    assert str(caught.value) == (
        "The cluster 'feedback' has no replica that could lag.\n"
        'Hint: Name one that has "REPLICAS" in SHOAL["CLUSTERS"].'
    )


def test_a_class_is_not_decorated() -> None:
    with pytest.raises(TypeError, match="Decorate its tests"):
        lagging("catalog")(Promises)


@pytest.mark.django_db(transaction=True)
def test_mirrors_are_those_of_one_thread() -> None:
    context = contextvars.copy_context()

    def begin() -> None:
        with lagging("catalog"):
            raise AssertionError("not reached")

    with ThreadPoolExecutor(1) as other:
        found = other.submit(context.run, begin).exception()
    assert str(found) == (
        "The replica 'catalog_r1' is a mirror, but not in this thread.\n"
        "Hint: Begin the block in the thread of the test."
    )


@pytest.fixture
def clerk(servers: Lab) -> Iterator[None]:
    """A role that may read, and nothing else."""
    servers["catalog"].sql(
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk' IN ROLE pg_read_all_data"
    )
    yield
    run("DROP OWNED BY clerk")
    servers["catalog"].sql("DROP OWNED BY clerk; DROP ROLE clerk")


@pytest.mark.django_db(transaction=True)
@pytest.mark.shoal(mirror_replicas=False)
def test_a_role_that_may_not_pause(
    servers: Lab, clerk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alias in REPLICAS:
        servers[alias].wait_until_replayed()
        for key in ("USER", "PASSWORD"):
            monkeypatch.setitem(settings.DATABASES[alias], key, "clerk")
    with pytest.raises(LaggingError) as caught, lagging("catalog"):
        raise AssertionError("not reached")
    assert str(caught.value) == (
        "The role 'clerk' may not pause the replay on 'catalog_r1'.\n"
        "Hint: In the database 'test_catalog' of the primary, or in template1 before "
        "the test databases are made: GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), "
        'pg_wal_replay_resume() TO "clerk".'
    )
    run(caught.value.hint.partition("made: ")[2].rstrip("."))
    for alias in REPLICAS:
        servers[alias].wait_until_replayed()
    Product.objects.create(name="old")
    with lagging("catalog"), unit_of_work():
        Product.objects.create(name="new")
        with unit_of_work():
            assert names() == ["old"]


@pytest.mark.django_db
def test_a_role_that_may_not_copy(clerk: None) -> None:
    with transaction.atomic(using="catalog"):
        run("SET LOCAL ROLE clerk")
        with pytest.raises(LaggingError) as caught, lagging("catalog"):
            raise AssertionError("not reached")
        transaction.set_rollback(True, using="catalog")
    assert str(caught.value).startswith(
        "The rows of 'catalog' could not be copied to the schema 'shoal_lagging': "
        "permission denied for database test_catalog.\n"
        'Hint: GRANT CREATE ON DATABASE "test_catalog" TO '
    )
    with lagging("catalog"):
        assert names() == []


@contextlib.contextmanager
def shop(
    databases: dict[str, dict[str, Any]], blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Let the products live on `shop` and its replica `shop_r1`, with their tables."""
    setting = copy.deepcopy(settings.SHOAL)
    setting["CLUSTERS"]["catalog"]["APPS"] = []
    setting["CLUSTERS"]["shop"] = {"APPS": ["catalog"], "REPLICAS": ["shop_r1"]}
    with blocker.unblock(), aliases(databases), override_settings(SHOAL=setting):
        with connections["shop"].schema_editor() as editor:
            for model in (Tag, Product, Bundle):
                editor.create_model(model)
        try:
            yield
        finally:
            stop_watching()
            for alias in databases:
                close(connections[alias])


@contextlib.contextmanager
def transaction_of_a_test_case() -> Iterator[None]:
    atomic = transaction.atomic(using="shop")
    atomic._from_testcase = True
    with mirrored(), atomic:
        yield
        transaction.set_rollback(True, using="shop")


def holds_in_the_shop() -> None:
    with unit_of_work(), pinned():
        tags = [Tag.objects.create(name=name) for name in "ab"]
        Product.objects.create(name="old").tags.set(tags)
    with lagging("shop"):
        visitor = Client()
        visitor.post("/products/", {"name": "new"})
        with unit_of_work():
            Tag.objects.all().delete()
        assert visitor.get("/products/").json() == ["new", "old"]
        assert Client().get("/products/").json() == ["old"]
        with unit_of_work():
            with pytest.raises(DatabaseError):
                run("SELECT nonsense", "shop_r1")
            (product,) = Product.objects.annotate(n=Count("tags"))
            assert (product.name, product.n) == ("old", 2)
            assert Product.objects.using("shop").count() == 2
            with pytest.raises(ReplicaWrite):
                run("UPDATE catalog_tag SET name = 'new'", "shop_r1")
    assert Product.objects.using("shop_r1").count() == 2


@pytest.mark.mariadb
def test_on_mariadb(django_db_blocker: DjangoDbBlocker) -> None:
    with (
        Lab(MariaDB("shop", replicas=("shop_r1",))) as lab,
        shop(lab.databases, django_db_blocker),
    ):
        with transaction_of_a_test_case():
            holds_in_the_shop()
        assert Product.objects.using("shop").count() == 0, "rolled back"
        assert lab["shop"].sql("SHOW DATABASES LIKE '%lagging'") == []
        with observed_by(None), unit_of_work():  # The servers themselves.
            holds_in_the_shop_of_servers(lab)


def holds_in_the_shop_of_servers(lab: Lab) -> None:
    for _ in range(2):
        with unit_of_work():
            before = Product.objects.using("shop").count()
        with lagging("shop"):
            with unit_of_work():
                Product.objects.create(name="new")
                assert Product.objects.count() == before + 1
            with unit_of_work():
                assert Product.objects.count() == before
                assert choices()["shop"].alias == "shop_r1"
    lab["shop_r1"].wait_until_replayed()
    lab["shop"].sql("CREATE USER clerk IDENTIFIED BY 'clerk'")
    lab["shop"].sql("GRANT SELECT ON *.* TO clerk")
    lab["shop_r1"].wait_until_replayed()
    with pytest.MonkeyPatch.context() as patch:
        for key in ("USER", "PASSWORD"):
            patch.setitem(connections.settings["shop_r1"], key, "clerk")
        with pytest.raises(LaggingError) as caught, lagging("shop"):
            raise AssertionError("not reached")
    assert str(caught.value) == (
        "The role 'clerk' may not pause the replay on 'shop_r1'.\n"
        "Hint: On the replica: GRANT REPLICATION SLAVE ADMIN ON *.* TO 'clerk'."
    )


@pytest.mark.parametrize("name", ["shop.db", "file:shop?mode=memory&cache=shared"])
def test_on_sqlite(
    name: str, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    if name.endswith(".db"):
        name = f"{tmp_path}/{name}"
        with contextlib.closing(sqlite3.connect(name)) as made:
            made.execute("PRAGMA journal_mode = WAL")
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
    databases = {alias: dict(database) for alias in ("shop", "shop_r1")}
    with shop(databases, django_db_blocker):
        with transaction_of_a_test_case():
            holds_in_the_shop()
        with (
            observed_by(None),
            pytest.raises(LaggingError) as caught,
            lagging("shop"),
        ):
            raise AssertionError("not reached")
    assert str(caught.value) == (
        "The primary 'shop' does not tell how far its log has come.\n"
        "Hint: On MariaDB turn on log_bin, on MySQL gtid_mode. SQLite has none."
    )
