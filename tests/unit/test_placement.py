"""Which cluster a model lives on."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.test import override_settings
from tests.project.catalog.models import Bundle, NamedProduct, Product, Tag
from tests.project.feedback.models import Review, Vote
from tests.project.pages.models import Page

from shoal.conf import parse
from shoal.placement import get_placement, unconstrained
from shoal.placement.models import build


def cluster_of(model: Any) -> str | None:
    return get_placement().cluster_of(model)


@pytest.mark.parametrize(
    ("model", "cluster"),
    [
        (Product, "catalog"),
        (NamedProduct, "catalog"),
        (Bundle, "catalog"),
        (Product.tags.through, "catalog"),
        (Review, "feedback"),
        (User, "accounts"),
        (User.groups.through, "accounts"),
        (Session, "accounts"),
        (Page, "pages"),
    ],
)
def test_lives_with_its_app(model: type[Model], cluster: str) -> None:
    assert cluster_of(model) == cluster


def test_each_database_records_its_own_migrations() -> None:
    clusters: dict[str, Any] = {"pages": {"APPS": ["migrations"]}}
    with override_settings(SHOAL={"CLUSTERS": clusters}):
        assert cluster_of(MigrationRecorder.Migration) is None


def test_a_model_wins_over_its_app() -> None:
    clusters = {
        "accounts": {"APPS": ["catalog"]},
        "feedback": {"MODELS": ["catalog.Product"]},
    }
    with override_settings(SHOAL={"CLUSTERS": clusters}):
        assert cluster_of(Product) == "feedback"
        assert cluster_of(Product.tags.through) == "feedback"
        assert cluster_of(NamedProduct) == "feedback"
        assert cluster_of(Tag) == "accounts"
        assert get_placement().clusters_of_app("catalog") == {"accounts", "feedback"}


def test_a_proxy_does_not_draw_its_app_to_another_cluster() -> None:
    clusters = {
        "accounts": {"MODELS": ["catalog.Product"]},
        "feedback": {"APPS": ["feedback"]},
    }
    with override_settings(SHOAL={"CLUSTERS": clusters}):
        placement = get_placement()
        assert placement.cluster_of_label("catalog", "NamedProduct") == "accounts"
        assert placement.cluster_of_label("catalog", "bundle") == "accounts"
        assert placement.cluster_of_label("catalog", "tag") is None


def test_an_unclaimed_child_lives_with_its_parent() -> None:
    clusters = {"feedback": {"MODELS": ["catalog.Product"]}}
    with override_settings(SHOAL={"CLUSTERS": clusters}):
        assert cluster_of(Bundle) == "feedback"
        assert cluster_of(Tag) is None
        assert get_placement().clusters_of_app("catalog") == {"feedback", None}


def test_the_rest_lives_in_default_if_that_is_a_cluster() -> None:
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
    conf, problems = parse({"CLUSTERS": {"default": {}}}, databases)
    assert not problems
    assert build(conf).cluster_of(Product) == "default"
    assert build(conf).clusters_of_app("never_heard_of") == {"default"}


def test_takes_the_stand_in_of_the_database_cache() -> None:
    meta = SimpleNamespace(app_label="django_cache", model_name="cacheentry")
    assert cluster_of(SimpleNamespace(_meta=meta)) is None
    setting = {"CLUSTERS": {"feedback": {"APPS": ["django_cache"]}}}
    with override_settings(SHOAL=setting):
        assert cluster_of(SimpleNamespace(_meta=meta)) == "feedback"


def test_relations_without_a_constraint() -> None:
    assert unconstrained(Review, Product)
    assert unconstrained(Product, Review)
    assert unconstrained(Review, NamedProduct)
    assert not unconstrained(Vote, Review)
    assert not unconstrained(Product, Tag), "a many-to-many field is joined"
    assert not unconstrained(Permission, Review), "not related at all"
