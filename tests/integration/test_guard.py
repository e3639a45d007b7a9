"""Writes that reach the wrong server are refused before they are sent."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import ProgrammingError, connections, transaction

from shoal.errors import CrossClusterQuery, ReplicaWrite, WrongCluster
from shoal.routing import unguarded
from tests.project.catalog.models import Product, Tag
from tests.project.feedback.models import Review

pytestmark = pytest.mark.django_db

REFUSED = (
    "A write on table 'feedback_review' was refused on the alias 'catalog': the model "
    "feedback.Review lives on the cluster 'feedback'.\n"
    "Hint: Leave out using('catalog') and let the router choose, write with "
    "using('feedback'), or, to write here all the same, do it inside "
    "`with shoal.routing.unguarded('catalog')`."
)


def raw(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def raw_bytes(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(b"DELETE FROM feedback_review")


def composed(alias: str) -> None:
    from psycopg import sql

    statement = sql.SQL("DELETE FROM {}").format(sql.Identifier("feedback_review"))
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)


WRITES: dict[str, Callable[[str], Any]] = {
    "save": lambda alias: Review(product_id=1).save(using=alias),
    "create": lambda alias: Review.objects.using(alias).create(product_id=1),
    "bulk_create": lambda alias: Review.objects.using(alias).bulk_create(
        [Review(product_id=1)]
    ),
    "update": lambda alias: Review.objects.using(alias).update(stars=1),
    "delete": lambda alias: Review.objects.using(alias).all()._raw_delete(alias),
    "raw": lambda alias: raw(alias, "DELETE FROM feedback_review"),
    "raw with a comment": lambda alias: raw(
        alias, "/* nightly */ UPDATE public.feedback_review SET stars = 1"
    ),
    "raw in a CTE": lambda alias: raw(
        alias, "WITH x AS (DELETE FROM feedback_review RETURNING id) SELECT * FROM x"
    ),
    "bytes": raw_bytes,
    "composed": composed,
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_where_the_model_does_not_live(name: str) -> None:
    with pytest.raises(WrongCluster) as caught:
        WRITES[name]("catalog")
    assert str(caught.value) == REFUSED
    assert isinstance(caught.value, ProgrammingError)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_where_the_model_lives(name: str) -> None:
    WRITES[name]("feedback")


@pytest.mark.parametrize("alias", ["catalog_r1", "catalog_r2"])
def test_a_write_on_a_replica(alias: str) -> None:
    with pytest.raises(ReplicaWrite) as caught:
        Product.objects.using(alias).create(name="x")
    assert str(caught.value) == (
        f"A write on table 'catalog_product' was refused: the alias '{alias}' is a "
        "replica of 'catalog'.\n"
        "Hint: Write through the router, or with using('catalog')."
    )
    with pytest.raises(ReplicaWrite), unguarded(alias):
        raw(alias, "TRUNCATE catalog_product")


@pytest.mark.shoal(mirror_replicas=False)
def test_a_write_on_a_real_replica() -> None:
    with pytest.raises(ReplicaWrite):
        raw("catalog_r1", "DELETE FROM catalog_product")


def test_third_party_code_that_saves_where_it_read() -> None:
    Product.objects.create(name="x")
    found = Product.objects.using("catalog_r1").get()
    assert found._state.db == "catalog_r1"
    with pytest.raises(ReplicaWrite), transaction.atomic(using="catalog"):
        found.save(using=found._state.db)
    found.save()
    assert found._state.db == "catalog"


def test_a_join_across_clusters_says_where_the_other_model_lives() -> None:
    joined = Review.objects.filter(product__name="kettle")
    with pytest.raises(CrossClusterQuery) as caught, transaction.atomic("feedback"):
        list(joined)
    assert str(caught.value) == (
        "A query on the alias 'feedback' names the table 'catalog_product', which is "
        "not there: the model catalog.Product lives on the cluster 'catalog'.\n"
        "Hint: One server cannot join the tables of two. Fetch the rows apart: "
        "prefetch_related() in place of select_related(), or a filter by keys that "
        "were fetched first."
    )
    assert isinstance(caught.value, ProgrammingError)
    assert "catalog_product" in str(caught.value.__cause__)
    products = Product.objects.filter(name="kettle").values_list("pk", flat=True)
    assert not Review.objects.filter(product__in=list(products)).exists()


def test_other_errors_of_the_server_are_left_as_they_are() -> None:
    with pytest.raises(ProgrammingError) as caught, transaction.atomic("feedback"):
        raw("feedback", "SELECT nonsense FROM feedback_review")
    assert not isinstance(caught.value, CrossClusterQuery)


def test_an_unknown_table_is_nobodys_business() -> None:
    raw("catalog", "CREATE TABLE notes (x int)")
    raw("catalog", "INSERT INTO notes VALUES (1)")


def test_a_temporary_table_is_nobodys_business() -> None:
    raw("catalog", "CREATE TEMPORARY TABLE feedback_review (id int)")
    raw("catalog", "INSERT INTO pg_temp.feedback_review VALUES (1)")
    raw("catalog", "DROP TABLE pg_temp.feedback_review")


def test_errors_that_only_mention_a_table_are_left_as_they_are() -> None:
    raw("catalog", "CREATE TABLE feedback_review (id int)")
    with pytest.raises(ProgrammingError) as caught, transaction.atomic("catalog"):
        raw("catalog", "CREATE TABLE feedback_review (id int)")
    assert not isinstance(caught.value, CrossClusterQuery)


def test_unguarded_lets_a_move_clean_up() -> None:
    raw("catalog", "CREATE TABLE feedback_review (id int)")
    with pytest.raises(WrongCluster):
        raw("catalog", "DELETE FROM feedback_review")
    with unguarded("catalog"):
        raw("catalog", "DELETE FROM feedback_review")
        with pytest.raises(WrongCluster):
            raw("pages", "DELETE FROM feedback_review")
    with pytest.raises(WrongCluster):
        raw("catalog", "DELETE FROM feedback_review")


def test_a_refused_write_leaves_the_transaction_usable() -> None:
    with transaction.atomic(using="catalog"):
        Tag.objects.create(name="before")
        with pytest.raises(WrongCluster):
            raw("catalog", "DELETE FROM feedback_review")
        Tag.objects.create(name="after")
    assert Tag.objects.count() == 2


def test_guard_survives_a_wrapper_that_is_open_while_connecting() -> None:
    connection = connections["pages"]
    seen = []

    def wrapper(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    before = list(connection.execute_wrappers)
    copy = connection.copy("pages")
    try:
        with copy.execute_wrapper(wrapper), copy.cursor() as cursor:
            cursor.execute("SELECT 1")
        with copy.cursor() as cursor, pytest.raises(WrongCluster):
            cursor.execute("DELETE FROM feedback_review")
    finally:
        copy.close()
    assert seen == ["SELECT 1"]
    assert connection.execute_wrappers == before
