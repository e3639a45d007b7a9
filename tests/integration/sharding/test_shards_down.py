"""One server of a sharded cluster is down: what works on, and what the errors say."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import Error, connections, transaction

from shoal.errors import ShoalError
from shoal.lab import Lab, Postgres, lab_fixture
from tests.sharded.models import Category, Country, Product, Review
from tests.sharded.places import code_on, product_on, review_on
from tests.sharded.shop import CONTROL, SHARDS, SHOP, TWIN, empty, shop_on

HOME, OTHER, UP, _ = SHARDS

down_lab = lab_fixture(
    Postgres("shop_0"),
    Postgres("shop_1"),
    Postgres("rest"),
    scope="module",
)


@pytest.fixture(scope="module")
def on_three_servers(down_lab: Lab, django_db_blocker: Any) -> Iterator[Lab]:
    """The first two shards have servers of their own."""
    rest = ("shop_2", "shop_3", TWIN, CONTROL)
    for name in rest:
        down_lab["rest"].sql(f"CREATE DATABASE {name}")
    databases = {
        **{alias: down_lab[alias].alias for alias in (HOME, OTHER)},
        **{alias: {**down_lab["rest"].alias, "NAME": alias} for alias in rest},
    }
    with django_db_blocker.unblock(), shop_on(databases):
        yield down_lab


@pytest.fixture
def servers_of_shop(on_three_servers: Lab) -> Iterator[Lab]:
    empty()
    # The first id of a table is above those that all shards have.
    review_on(UP)
    yield on_three_servers
    for name in (HOME, OTHER):
        on_three_servers[name].start()
    for alias in (SHOP, *SHARDS):
        connections[alias].close()


def stop(lab: Lab, name: str) -> None:
    lab[name].stop()
    for alias in (SHOP, *SHARDS):
        connections[alias].close()


def test_the_error_names_the_shard(servers_of_shop: Lab) -> None:
    there = product_on(OTHER, name="a")
    stop(servers_of_shop, OTHER)
    for query in (
        Product.objects.using(SHOP).filter(pk=there.pk),
        Product.objects.using(SHOP).all(),
        Review.objects.using(SHOP).filter(product__name="a"),
    ):
        with pytest.raises(Error) as caught:
            list(query)
        assert "'shop_1'" in str(caught.value)


def test_a_write_names_the_shard_too(servers_of_shop: Lab) -> None:
    there = product_on(OTHER, name="a")
    code = code_on(OTHER)
    stop(servers_of_shop, OTHER)
    for write in (
        lambda: Product.objects.using(SHOP).filter(pk=there.pk).update(name="b"),
        lambda: Product.objects.using(SHOP).update(name="b"),
        lambda: Country.objects.using(SHOP).create(code=code, name="a"),
        lambda: Category.objects.using(SHOP).create(name="a"),
    ):
        with pytest.raises((Error, ShoalError)) as caught:
            write()
        assert "'shop_1'" in str(caught.value)


def test_what_is_on_other_shards_works_on(servers_of_shop: Lab) -> None:
    there = product_on(UP, name="a")
    stop(servers_of_shop, OTHER)
    assert Product.objects.using(SHOP).get(pk=there.pk).name == "a"
    review_on(UP, product=there, stars=3)
    with transaction.atomic(using=SHOP):
        Product.objects.using(SHOP).filter(pk=there.pk).update(name="b")
        review_on(UP, product=there, stars=4)
    assert Review.objects.using(SHOP).filter(product=there).count() == 2
    there.refresh_from_db(using=SHOP)
    assert there.name == "b"


def test_without_the_home_shard_other_shards_work_on(servers_of_shop: Lab) -> None:
    there = product_on(UP, name="a")
    stop(servers_of_shop, HOME)
    assert Product.objects.using(SHOP).get(pk=there.pk).name == "a"
    review_on(UP, product=there, stars=3)
    Product.objects.using(SHOP).filter(pk=there.pk).update(name="b")
    with transaction.atomic(using=SHOP):
        Review.objects.using(SHOP).filter(product=there).update(stars=4)
    assert Review.objects.using(SHOP).get(product=there).stars == 4
    with pytest.raises(Error):
        Product.objects.using(SHOP).count()


def test_in_a_new_thread_without_the_home_shard(servers_of_shop: Lab) -> None:
    there = product_on(UP, name="a")
    stop(servers_of_shop, HOME)
    for alias in (SHOP, *SHARDS):
        # As in a new process: nothing is known of the servers.
        connections[alias].close()
        del connections[alias]
    assert Product.objects.using(SHOP).get(pk=there.pk).name == "a"


def test_it_comes_back(servers_of_shop: Lab) -> None:
    product_on(OTHER, name="a")
    for name in (OTHER, HOME):
        stop(servers_of_shop, name)
        with pytest.raises(Error):
            Product.objects.using(SHOP).count()
        servers_of_shop[name].start()
        assert Product.objects.using(SHOP).count() == 2


def test_a_shard_that_dies_in_a_transaction(servers_of_shop: Lab) -> None:
    there = product_on(UP, name="a")
    with pytest.raises(Error):
        write_on_both(servers_of_shop, there)
    there.refresh_from_db(using=SHOP)
    assert there.name == "a"


def write_on_both(lab: Lab, there: Product) -> None:
    with transaction.atomic(using=SHOP):
        Product.objects.using(SHOP).filter(pk=there.pk).update(name="lost")
        product_on(OTHER, name="lost")
        lab[OTHER].stop()


def test_a_shard_without_a_table(servers_of_shop: Lab) -> None:
    there = product_on(UP, name="a")
    servers_of_shop[OTHER].sql("ALTER TABLE sharded_holiday RENAME TO away")
    servers_of_shop[OTHER].sql("ALTER TABLE sharded_product RENAME TO gone")
    try:
        with pytest.raises(Error) as caught:
            Product.objects.using(SHOP).count()
        assert "sharded_product" in str(caught.value)
        assert "'shop_1'" in str(caught.value)
        assert Product.objects.using(SHOP).filter(pk=there.pk).exists()
    finally:
        servers_of_shop[OTHER].sql("ALTER TABLE away RENAME TO sharded_holiday")
        servers_of_shop[OTHER].sql("ALTER TABLE gone RENAME TO sharded_product")
