"""The system checks of models on a sharded cluster."""

from typing import Any

import pytest
from django.apps import apps
from django.core.checks import ERROR, WARNING
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps
from tests.unit.declared import cluster, link, made

from shoal.checks import check_sharded_models, sharded
from shoal.checks.sharded import IDS, problems_of
from shoal.placement import modulo, reference
from shoal.placement import sharded as sharded_by
from shoal.placement.problems import KINDS
from shoal.topology import Cluster

BUCKETED = cluster()
PLAIN = cluster(ids="plain")


@pytest.fixture(autouse=True)
def isolated() -> Any:
    with isolate_apps("tests.project.feedback"):
        yield


def found(*declared: Any, on: Cluster = BUCKETED) -> list[tuple[str, Any]]:
    """Return the id and the object of each message; all have a way out."""
    messages = list(problems_of(declared, on))
    for message in messages:
        level = ERROR if message.id and message.id[6] == "E" else WARNING
        assert message.level == level
        assert message.hint
    return [(str(message.id), message.obj) for message in messages]


def test_every_kind_of_problem_has_an_id_of_its_own() -> None:
    assert set(IDS) == set(KINDS)
    assert len({id for _, id in IDS.values()}) == len(IDS)


def test_keys() -> None:
    n = models.IntegerField
    unknown = sharded_by(key="m")(made("Unknown", n=n()))
    day = sharded_by(key="n")(made("Day", n=models.DateField()))
    misfit = sharded_by(key="n", by=modulo(3))(made("Misfit", n=models.TextField()))
    null = sharded_by(key="n")(made("Null", n=n(null=True)))
    exact = models.TextField(db_collation="und-ci")
    inexact = sharded_by(key="n")(made("Inexact", n=exact))
    assert found(unknown) == [("shoal.E024", unknown)]
    assert found(day) == [("shoal.E025", day)]
    assert found(misfit) == [("shoal.E026", misfit)]
    assert found(null) == [("shoal.E027", null._meta.get_field("n"))]
    assert found(inexact) == [("shoal.E028", inexact._meta.get_field("n"))]
    named = cluster(keys={"feedback.nothing": ("n",)})
    assert found(on=named) == [("shoal.E023", None)]


def test_a_multi_table_child_that_cannot_be_placed() -> None:
    review = made("Review", product=link(reference(made("Product"))))
    child = made("Long", sharded_by(key="product")(review))
    assert found(child) == []
    assert found(child, on=PLAIN) == [("shoal.E029", child)]


def test_an_id_of_32_bits() -> None:
    narrow = made("Narrow", id=models.AutoField(primary_key=True))
    (message,) = problems_of([narrow], BUCKETED)
    assert (message.id, message.obj) == ("shoal.E030", narrow._meta.pk)
    assert message.msg == (
        "feedback.Narrow.id is a AutoField, but an id that carries its bucket needs "
        "64 bits."
    )
    assert found(narrow, on=PLAIN) == []


def test_constraints_that_no_shard_can_check() -> None:
    product = made("Product", code=models.TextField(unique=True))
    review = made("Review", product=link(product))
    assert found(product, review) == [
        ("shoal.W011", product._meta.get_field("code")),
        ("shoal.W012", review._meta.get_field("product")),
    ]


def test_a_deletion_that_no_shard_can_do() -> None:
    DB_CASCADE = getattr(models, "DB_CASCADE", None)
    if DB_CASCADE is None:
        pytest.skip("Django 6.1 has on_delete of the database.")

    def cascade(model: Any) -> Any:
        return models.ForeignKey(model, DB_CASCADE, related_name="+")

    product, field = made("Product"), cascade("feedback.Product")
    review = made("Review", product=field)
    (message,) = problems_of([review], BUCKETED)
    assert (message.id, message.obj) == ("shoal.W014", field)
    assert message.msg == (
        "feedback.Review.product has on_delete=DB_CASCADE, but rows of "
        "feedback.Product may be on another shard than the rows that point to them, "
        "so only deletions through the sharded alias are followed."
    )
    beside = made("Beside", product=cascade(product))
    everywhere = made("About", product=cascade(reference(made("Everywhere"))))
    assert found(sharded_by(key="product")(beside), everywhere) == []


def test_rows_that_stay_at_home() -> None:
    day = models.DateField(primary_key=True)
    home = made("Day", day=day, others=models.ManyToManyField("self"))
    child = made("Child", home)
    (message,) = problems_of([home, child], BUCKETED)
    assert (message.id, message.obj) == ("shoal.W013", home)
    assert message.msg == (
        "All rows of feedback.Day are on the home shard: its primary key is 'day', "
        "a DateField, whose values give no bucket."
    )
    assert found(reference(made("Everywhere", day=day))) == []


def sharded_feedback(**more: Any) -> Any:
    from django.conf import settings

    engine = {"ENGINE": "shoal.backends.sharded"}
    feedback = {"APPS": ["feedback"], "SHARDS": ["catalog", "pages"], **more}
    return override_settings(
        DATABASES={**settings.DATABASES, "feedback": engine},
        SHOAL={"CLUSTERS": {"feedback": feedback}},
    )


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_only_the_models_of_sharded_clusters_are_looked_at() -> None:
    assert check_sharded_models(None) == []
    votes = ("shoal.W012", "feedback.Vote.review")
    with sharded_feedback():
        seen = [(m.id, str(m.obj)) for m in check_sharded_models(None)]
        assert seen == [votes]
        assert check_sharded_models([apps.get_app_config("pages")]) == []
    with sharded_feedback(CONTROL="x"):
        assert check_sharded_models(None) == []


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_a_driver_that_is_missing_is_not_for_this_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*args: Any) -> None:
        raise ImproperlyConfigured("Error loading psycopg2 or psycopg module")

    monkeypatch.setattr(sharded, "problems", missing)
    with sharded_feedback():
        assert check_sharded_models(None) == []
