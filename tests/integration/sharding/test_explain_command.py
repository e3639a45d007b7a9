"""`manage.py shoal explain`: what a queryset that is typed says of its plan."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.sharded.models import Product
from tests.sharded.places import product_on
from tests.sharded.shop import SHARDS, SHOP, TWIN

FIRST, SECOND, THIRD, FOURTH = SHARDS


def explain(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("shoal", "explain", *words, stdout=out, **options)
    return out.getvalue()


def test_prints_what_the_queryset_says(shop: str) -> None:
    expression = 'sharded.Product.objects.filter(name="a").order_by("-weight")[:20]'
    rows = Product.objects.using(SHOP).filter(name="a").order_by("-weight")[:20]
    assert explain(expression) == f"{rows.explain()}\n"


def test_names_models_by_app_and_parts_of_queries(shop: str) -> None:
    product = product_on(THIRD)
    key = f"sharded.Review.objects.filter(Q(product={product.pk}))"
    why = "the key is given (sharded_review.product_id)"
    assert explain(key).startswith(f"One shard, {THIRD}: {why}.\nAsked there:\n")
    groups = (
        'sharded.Review.objects.values("stars").annotate(n=Count("pk", distinct=True))'
    )
    assert explain(groups).startswith("Scattered to ")
    lower = 'sharded.Product.objects.annotate(x=Lower("name"))'
    assert explain(lower).startswith("Scattered to ")
    assert explain(" sharded.Product.objects ").startswith("Scattered to ")


def test_runs_nothing(shop: str) -> None:
    with CaptureQueriesContext(connections[SECOND]) as log:
        explain('sharded.Product.objects.order_by("?")')
    explained = "EXPLAIN QUERY PLAN" if shop == "sqlite" else "EXPLAIN "
    assert [one["sql"].startswith(explained) for one in log] == [True]


def test_gives_one_document(shop: str) -> None:
    found = json.loads(
        explain("sharded.Product.objects.order_by('-weight')[3:5]", "--json")
    )
    assert (found["ok"], found["alias"], found["sharded"]) == (True, SHOP, True)
    assert (found["way"], found["shards"]) == ("scatter", [*SHARDS])
    assert (found["because"], found["columns"]) == ("no key", [])
    assert [one["alias"] for one in found["plans"]] == [*SHARDS]
    assert all(one["plan"] for one in found["plans"])
    assert (found["merge"]["offset"], found["merge"]["limit"]) == (3, 2)
    assert found["merge"]["order"][0]["descending"] is True
    (part,) = found["parts"]
    assert part["aliases"] == [*SHARDS]
    assert part["sql"].startswith("SELECT ")


def test_what_no_row_can_fulfil(shop: str) -> None:
    nothing = "sharded.Product.objects.filter(pk__in=[])"
    said = "No server is asked: no row can fulfil the filter.\n"
    assert explain(nothing) == said
    assert explain(nothing, "--using", TWIN) == said
    assert json.loads(explain(nothing, "--json"))["way"] is None


def test_an_alias_that_is_not_sharded(shop: str) -> None:
    first, second, *rest = explain(
        "sharded.Product.objects", "--using", TWIN
    ).splitlines()
    assert first == "'twin' is not sharded: its server answers alone."
    assert second == "Plan of twin:"
    assert rest
    assert all(line.startswith("  ") for line in rest)
    found = json.loads(explain("sharded.Product.objects", "--using", TWIN, "--json"))
    assert (found["sharded"], found["alias"]) == (False, TWIN)
    assert found["plan"]


def test_analyze_runs_it(shop: str) -> None:
    if shop == "sqlite":
        with pytest.raises(CommandError) as caught:
            explain("sharded.Product.objects", "--analyze")
        assert str(caught.value) == (
            "SQLite, on 'shop', has nothing that it measures while a query runs.\n"
            "Hint: Run the same without --analyze."
        )
        return
    product_on(SECOND, name="a")
    lines = explain('sharded.Product.objects.order_by("?")', "--analyze").splitlines()
    assert f"Plan of {FIRST}:" in lines


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("sharded.Product.objects.count()", "gives an object of int, not a queryset."),
        ("sharded.Product", "gives the class Product, not a queryset."),
        ("Categry.objects", "name 'Categry' is not defined."),
        (
            "sharded.Product.objects.filter(nam='a')",
            "FieldError: Cannot resolve keyword",
        ),
    ],
)
def test_what_is_no_queryset(shop: str, expression: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        explain(expression)
    text = str(caught.value)
    assert message in text
    assert "Hint: " in text
    if "Categry" in expression:
        assert "Did you mean 'Category'?" in text
    assert caught.value.returncode == 1


def test_what_is_no_expression(shop: str) -> None:
    for wrong in ("sharded.Product.objects.filter(", "x = 1", ""):
        with pytest.raises(CommandError, match="is no expression of Python") as caught:
            explain(wrong)
        assert caught.value.returncode == 2
    with pytest.raises(CommandError, match="is not in DATABASES"):
        explain("sharded.Product.objects", "--using", "shp")
