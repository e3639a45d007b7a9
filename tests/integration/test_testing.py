"""What a project gets for its own tests."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import Client

from shoal.errors import UnknownCluster
from shoal.lab import Lab
from shoal.routing.context import current, set_current
from shoal.testing import TestCase, TransactionTestCase, served_by
from tests.project.catalog.models import Product
from tests.project.feedback.models import Review
from tests.project.pages.models import Page


class EveryClusterTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.product = Product.objects.create(name="kettle")

    def test_touches_every_cluster(self) -> None:
        user = User.objects.create_user("ann")
        Review.objects.create(product=self.product, author=user)
        Page.objects.using("pages_draft").create(title="draft")
        assert Review.objects.count() == 1

    def test_is_rolled_back_everywhere(self) -> None:
        assert User.objects.count() == Review.objects.count() == 0
        assert Page.objects.using("pages_draft").count() == 0

    def test_replicas_show_what_is_not_committed(self) -> None:
        for alias in ("catalog_r1", "catalog_r2"):
            assert Product.objects.using(alias).get() == self.product
            with transaction.atomic(using=alias):
                assert Product.objects.using(alias).count() == 1

    def test_counts_queries_by_alias(self) -> None:
        with self.assertQueriesOn("catalog", 1), self.assertQueriesOn("feedback", 0):
            Product.objects.count()
        with self.assertQueriesOn("catalog_r1", 1), self.assertQueriesOn("catalog", 0):
            Product.objects.using("catalog_r1").count()
        self.assertQueriesOn("feedback", 2, self.two_queries)

    def a_query_on_each_of_two(self) -> None:
        Product.objects.exists()
        Review.objects.exists()

    def two_queries(self) -> None:
        Review.objects.count()
        list(Review.objects.all())

    def test_a_wrong_count_lists_what_was_sent_where(self) -> None:
        with pytest.raises(AssertionError) as caught:
            self.assertQueriesOn("catalog", 0, self.a_query_on_each_of_two)
        first, *rest = str(caught.value).splitlines()
        assert first == "1 queries were sent to 'catalog', expected 0."
        assert [line for line in rest if not line.startswith("  ")] == [
            "catalog:",
            "feedback:",
        ]

    def test_an_unknown_alias_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="Did you mean 'catalog'"):
            self.assertQueriesOn("catalogue", 0).__enter__()

    def test_the_client_works_across_clusters(self) -> None:
        User.objects.create_user("ann", password="secret")
        client = Client()
        assert client.login(username="ann", password="secret")
        assert client.get("/titles/").json() == []


class CommittedTests(TransactionTestCase):
    def test_replicas_mirror_at_once(self) -> None:
        Product.objects.create(name="kettle")
        assert Product.objects.using("catalog_r1").get().name == "kettle"

    def test_is_flushed_everywhere(self) -> None:
        assert not Product.objects.exists()
        assert not Review.objects.exists()

    def test_reads_are_routed_to_replicas(self) -> None:
        with self.assertQueriesOn("catalog", 0):
            Product.objects.count()


@pytest.mark.shoal(mirror_replicas=False)
class RealReplicaTests(TransactionTestCase):
    mirror_replicas = False

    def test_replicas_are_asked_for_real(self) -> None:
        assert served_by(Product) in {"catalog_r1", "catalog_r2"}


@pytest.mark.django_db
def test_a_plain_mark_may_use_every_cluster() -> None:
    Product.objects.create(name="kettle")
    User.objects.create_user("ann")
    assert Product.objects.using("catalog_r1").count() == 1


@pytest.mark.django_db(databases=["catalog", "catalog_r1", "catalog_r2"])
def test_a_mark_that_lists_aliases_keeps_its_list() -> None:
    Product.objects.create(name="kettle")
    with pytest.raises(AssertionError, match="feedback"):
        Review.objects.count()


@pytest.mark.django_db(databases=["catalog"])
def test_a_list_without_the_replicas_forbids_the_replicas_only() -> None:
    Product.objects.create(name="kettle")
    assert Product.objects.count() == 1
    with pytest.raises(AssertionError, match="catalog_r1"):
        Product.objects.using("catalog_r1").count()


def test_a_fixture_may_use_every_cluster(db: None) -> None:
    assert Review.objects.count() == Product.objects.count() == 0


@pytest.mark.django_db
def test_served_by_asks_the_server(servers: Lab) -> None:
    assert served_by(Review) == served_by(Review.objects.all()) == "feedback"
    assert served_by("accounts") == "feedback", "a database on the same server"
    assert served_by(Page.objects.using("pages_draft")) == "pages"
    with pytest.raises(UnknownCluster, match="was not told which cluster"):
        served_by()


@pytest.mark.django_db
def test_a_replica_has_no_test_database_of_its_own() -> None:
    names = {alias: connections[alias].settings_dict["NAME"] for alias in connections}
    assert names["catalog_r1"] == names["catalog_r2"] == names["catalog"]
    assert names["catalog"] == "test_catalog"


@pytest.fixture
def careless() -> Iterator[None]:
    """Changes the context, and puts it back while others have theirs open."""
    before = current()
    set_current(replace(before, observer=object()))
    yield
    set_current(before)


@pytest.mark.parametrize("turn", ["first", "second"])
@pytest.mark.shoal(mirror_replicas=False)
def test_what_a_test_leaves_in_the_context_is_gone_for_the_next(
    turn: str, request: pytest.FixtureRequest
) -> None:
    assert current().observer is None
    request.getfixturevalue("careless")
