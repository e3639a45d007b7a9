"""A visitor reads what they wrote, by position, whatever the replicas are doing."""

import contextlib
from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core import signing
from django.db import connections, transaction
from django.test import AsyncClient, Client, modify_settings

from shoal.lab import Lab
from shoal.routing import (
    choices,
    export_token,
    fresh,
    stale,
    unit_of_work,
    with_token,
)
from shoal.testing import served_by
from shoal.transactions import atomic
from tests.project.catalog.models import Product, Tag
from tests.replicas import REPLICAS, caught_up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.shoal(mirror_replicas=False),
]


@pytest.fixture
def paused(servers: Lab) -> Iterator[None]:
    """Both replicas show what they show now, until the end of the test."""
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        yield


def create_and_fail(name: str) -> None:
    with transaction.atomic(using="catalog"):
        Product.objects.create(name=name)
        raise RuntimeError


def names(token: str = "") -> list[str]:
    with with_token(token):
        return list(Product.objects.values_list("name", flat=True))


def test_a_token_keeps_readers_off_stale_replicas(paused: None) -> None:
    with unit_of_work():
        assert export_token() == ""
        Product.objects.create(name="kettle")
        token = export_token()
    assert names() == []
    assert names(token) == ["kettle"]


def test_a_replica_that_has_caught_up_serves_the_token(servers: Lab) -> None:
    with unit_of_work():
        Product.objects.create(name="kettle")
        token = export_token()
    caught_up(servers)
    for _ in range(20):
        with with_token(token):
            assert served_by(Product) in REPLICAS
            assert choices()["catalog"].reason == "caught up"
            assert Product.objects.get().name == "kettle"


def test_a_rolled_back_write_sets_no_token(paused: None) -> None:
    with unit_of_work():
        with pytest.raises(RuntimeError):
            create_and_fail("kettle")
        assert served_by(Product) in REPLICAS
        assert export_token() == ""


def test_a_savepoint_rolled_back_before_the_write(paused: None) -> None:
    with unit_of_work():
        with transaction.atomic(using="catalog"):
            with pytest.raises(RuntimeError):
                create_and_fail("never")
            Product.objects.create(name="kettle")
        token = export_token()
    assert names(token) == ["kettle"]


def test_what_is_done_on_commit_sees_the_write(paused: None) -> None:
    seen: list[list[str]] = []
    tokens: list[str] = []

    def after() -> None:
        seen.append(list(Product.objects.values_list("name", flat=True)))
        tokens.append(export_token())

    with unit_of_work(), transaction.atomic(using="catalog"):
        transaction.on_commit(after, using="catalog")
        Product.objects.create(name="kettle")
    assert seen == [["kettle"]]
    assert names(tokens[0]) == ["kettle"]


def test_what_is_done_on_commit_of_one_server_sees_the_write_on_another(
    paused: None,
) -> None:
    seen: list[list[str]] = []
    tokens: list[str] = []

    def after() -> None:
        seen.append(list(Product.objects.values_list("name", flat=True)))
        tokens.append(export_token())

    with unit_of_work(), atomic("accounts", "catalog"):
        transaction.on_commit(after, using="accounts")
        Product.objects.create(name="kettle")
        transaction.on_commit(after, using="catalog")
    assert seen == [["kettle"]] * 2
    assert [names(token) for token in tokens] == [["kettle"]] * 2


def test_an_inner_block_keeps_what_is_done_on_commit_of_the_outer(
    servers: Lab,
) -> None:
    seen: list[str] = []
    with unit_of_work(), atomic("accounts", "catalog"):
        transaction.on_commit(lambda: seen.append("outer"), using="catalog")
        with contextlib.suppress(ZeroDivisionError), atomic("accounts", "catalog"):
            Product.objects.create(name="kettle")
            transaction.on_commit(lambda: seen.append("lost"), using="catalog")
            raise ZeroDivisionError
        Product.objects.create(name="cup")
    assert seen == ["outer"]


def test_a_write_on_commit_counts(paused: None) -> None:
    with unit_of_work():
        with transaction.atomic(using="catalog"):
            transaction.on_commit(
                lambda: Product.objects.create(name="late"), using="catalog"
            )
        token = export_token()
    assert names(token) == ["late"]


@pytest.mark.parametrize(
    "sql",
    [
        "/* who */ INSERT INTO catalog_tag (name) VALUES ('new')",
        "WITH one AS (INSERT INTO catalog_tag (name) VALUES ('new') RETURNING id) "
        "SELECT * FROM one",
        "SELECT add_tag('new')",
        "DO $$ BEGIN INSERT INTO catalog_tag (name) VALUES ('new'); END $$",
        "SELECT 1; INSERT INTO catalog_tag (name) VALUES ('new')",
    ],
)
def test_raw_sql_that_writes_sets_a_token(servers: Lab, sql: str) -> None:
    servers["catalog"].sql(
        "CREATE OR REPLACE FUNCTION public.add_tag(text) RETURNS void LANGUAGE sql "
        "VOLATILE AS 'SELECT'"
    )
    connection = connections["catalog"]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION add_tag(text) RETURNS void LANGUAGE sql "
            "VOLATILE AS 'INSERT INTO catalog_tag (name) VALUES ($1)'"
        )
    caught_up(servers)
    with servers["catalog_r1"].replay_paused(), servers["catalog_r2"].replay_paused():
        with unit_of_work():
            with connection.cursor() as cursor:
                cursor.execute(sql)
            token = export_token()
        with with_token(token):
            assert Tag.objects.filter(name="new").exists()


def test_a_copy_of_psycopg_counts(paused: None) -> None:
    with unit_of_work():
        with (
            connections["catalog"].cursor() as cursor,
            cursor.copy("COPY catalog_tag (name) FROM STDIN") as copy,
        ):
            copy.write_row(("copied",))
        token = export_token()
    with with_token(token):
        assert Tag.objects.get().name == "copied"


def test_reading_on_the_primary_sets_no_token(paused: None) -> None:
    with unit_of_work():
        with transaction.atomic(using="catalog"):
            list(Product.objects.select_for_update().filter(name__icontains="k"))
        list(Product.objects.using("catalog").filter(name__in=["a", "b"]))
        assert export_token() == ""


def test_the_position_is_asked_for_once(paused: None) -> None:
    asked: list[str] = []

    def count(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        asked.append(sql)
        return execute(sql, params, many, context)

    with unit_of_work(), connections["catalog"].execute_wrapper(count):
        Product.objects.create(name="kettle")
        assert export_token() == export_token()
    assert len(asked) == 1, "the position is not among the project's own queries"


def test_fresh_waits_for_a_replica(servers: Lab) -> None:
    with unit_of_work():
        Product.objects.create(name="kettle")
        assert served_by(Product) == "catalog"
        with fresh("catalog", wait=30):
            assert served_by(Product) in REPLICAS
            assert Product.objects.get().name == "kettle"


def test_fresh_falls_back_to_the_primary(paused: None) -> None:
    with unit_of_work():
        Product.objects.create(name="kettle")
        with fresh("catalog", wait=0.05):
            assert served_by(Product) == "catalog"
        with stale("catalog"):
            assert Product.objects.count() == 0


def test_the_next_request_of_a_visitor_sees_the_write(paused: None) -> None:
    visitor, other = Client(), Client()
    response = visitor.post("/products/", {"name": "kettle"})
    cookie = response.cookies[settings.SHOAL.get("TOKEN_COOKIE", "shoal_token")]
    assert cookie["httponly"]
    assert cookie["max-age"] == 60
    assert cookie["samesite"] == "Lax"
    assert response.headers["Shoal-Token"] == cookie.value
    for _ in range(10):
        assert visitor.get("/products/").json() == ["kettle"]
        assert other.get("/products/").json() == []
    assert not other.get("/products/").cookies


def test_a_client_of_an_api_carries_the_header(paused: None) -> None:
    client = Client()
    token = client.post("/products/", {"name": "kettle"}).headers["Shoal-Token"]
    assert Client().get("/products/").json() == []
    again = Client().get("/products/", headers={"Shoal-Token": token})
    assert again.json() == ["kettle"]


def test_the_same_under_async(paused: None) -> None:
    async def flow() -> tuple[list[str], list[str]]:
        visitor = AsyncClient()
        await visitor.post("/products/", {"name": "kettle"})
        mine = await visitor.get("/products/")
        other = await AsyncClient().get("/products/")
        return mine.json(), other.json()

    assert async_to_sync(flow)() == (["kettle"], [])


@pytest.mark.parametrize(
    "token",
    [
        "forged",
        "x" * 100_000,
        signing.Signer(salt="other").sign_object({"catalog": ["", {"wal": [[0, 9]]}]}),
        signing.Signer(salt="shoal.token").sign_object([1, 2]),
        signing.Signer(salt="shoal.token").sign_object({"catalog": ["", {"wal": 3}]}),
        signing.Signer(salt="shoal.token").sign_object({"gone": ["", {}]}),
        "\x00;=,\xff",
    ],
)
def test_a_bad_cookie_is_as_none(servers: Lab, token: str) -> None:
    caught_up(servers)
    client = Client()
    client.cookies["shoal_token"] = token
    for response in (
        client.get("/products/"),
        Client().get("/products/", headers={"Shoal-Token": token}),
    ):
        assert response.status_code == 200
        assert response.json() == []


def test_a_token_cut_off_anywhere_is_refused(paused: None) -> None:
    with unit_of_work():
        Product.objects.create(name="kettle")
        token = export_token()
    for length in range(1, len(token)):
        client = Client()
        client.cookies["shoal_token"] = token[:length]
        assert client.get("/products/").json() == []


@modify_settings(MIDDLEWARE={"prepend": "tests.project.middleware.TagsOfRequests"})
def test_what_other_middleware_reads_and_writes_counts(paused: None) -> None:
    """The session is read before Shoal's middleware is entered and saved after."""
    visitor = Client()
    assert visitor.post("/titles/").headers["X-Tags"] == "0"
    assert visitor.post("/titles/").headers["X-Tags"] == "1"
    assert visitor.get("/titles/").headers["X-Tags"] == "2"
    assert Client().get("/titles/").headers["X-Tags"] == "0"
