"""What a query says of its plan is what is done for it."""

import json
import logging
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Avg, Count, Q, StdDev, Sum, Window
from django.test.utils import CaptureQueriesContext

from shoal.placement import on_shard
from shoal.sharding.plan import Plan
from shoal.sharding.reading import Reading
from tests.sharded.models import Author, Category, Holiday, Product, Review
from tests.sharded.places import product_on, review_on
from tests.sharded.shop import SHARDS, SHOP

FIRST, SECOND, THIRD, FOURTH = SHARDS
WAYS = {
    "query_on_one_shard": {"one shard"},
    "query_scattered": {"scatter", "merge"},
    "query_gathered": {"gather"},
}


def plan_of(rows: Any) -> Plan:
    compiler = rows.query.get_compiler(using=SHOP)
    sql, params = compiler.as_sql()
    return Reading(compiler).plan(sql, params)


def every_kind() -> dict[str, Any]:
    products, reviews = Product.objects.using(SHOP), Review.objects.using(SHOP)
    one, other = product_on(FIRST, name="a"), product_on(THIRD, name="b")
    review_on(SECOND, stars=3)
    return {
        "key": products.filter(pk=one.pk),
        "key of two": products.filter(Q(pk=one.pk) | Q(pk=other.pk)),
        "foreign key": reviews.filter(product=other),
        "reference": Category.objects.using(SHOP).all(),
        "home": Holiday.objects.using(SHOP).all(),
        "all": products.all(),
        "order": products.order_by("-weight", "day")[2:5],
        "text": products.order_by("name"),
        "joined": reviews.filter(product__name="a").select_related("product"),
        "groups by key": products.annotate(n=Count("reviews")).filter(n__gt=0),
        "groups": reviews.values("stars").annotate(n=Count("pk")).order_by("-n")[:2],
        "average": reviews.values("stars").annotate(x=Avg("pk")),
        "deviation": reviews.values("stars").annotate(x=StdDev("pk")),
        "distinct": reviews.values("stars").distinct(),
        "window": products.annotate(n=Window(Count("pk"))),
        "other join": reviews.filter(author__name="x"),
        "union": products.filter(name="a").union(products.filter(name="b")),
        "random": products.order_by("?"),
    }


@pytest.mark.parametrize("again", [False, True])
def test_a_plan_says_what_is_done(
    shop: str, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    seen = set()
    for name, rows in every_kind().items():
        if again:
            list(rows.all())
        plan = plan_of(rows)
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="shoal.sharding"):
            list(rows)
        (record,) = [r for r in caplog.records if r.name == "shoal.sharding"]
        assert plan.way in WAYS[record.event], name
        assert (plan.why.because, plan.why.columns) == (record.because, record.columns)
        if plan.way == "gather":
            tables = [(part.table, part.because) for part in plan.parts]
            assert tables == [(one.table, one.because) for one in record.tables], name
            assert [set(part.aliases) for part in plan.parts] == [
                set(one.rows) for one in record.tables
            ]
        else:
            assert plan.shards == record.shards, name
        seen.add(plan.way)
    assert seen == {"one shard", "scatter", "merge", "gather"}


def test_a_plan_has_the_statement_of_each_shard(shop: str) -> None:
    for name, rows in every_kind().items():
        plan = plan_of(rows)
        if plan.way not in ("one shard", "scatter"):
            continue
        shard = connections[plan.shards[0]]
        with CaptureQueriesContext(shard) as log:
            list(rows)
        sql = plan.parts[0].statement.sql
        assert len(log) == 1
        if "%s" not in sql:
            assert log[0]["sql"] == sql, name


def test_a_plan_asks_for_no_rows(shop: str) -> None:
    for name, rows in every_kind().items():
        with CaptureQueriesContext(connections[SECOND]) as log:
            plan_of(rows)
        assert len(log) == 0, name


def test_explain_prints_the_plan_and_those_of_shards(shop: str) -> None:
    with CaptureQueriesContext(connections[SHOP]) as log:
        lines = Product.objects.using(SHOP).order_by("-weight")[2:5].explain()
    assert len(log) == 1
    first, second, sql, *rest = lines.splitlines()
    assert first == f"Scattered to {', '.join(SHARDS)}: no key is given."
    assert second == "Each is asked:"
    assert sql.startswith("  SELECT ")
    assert sql.endswith("LIMIT 5")
    nulls = "first" if shop == "postgresql" else "last"
    last = f"NULL {nulls}, column 1, NULL last."
    assert rest[0].startswith("The rows are merged by column ")
    assert rest[0].endswith(f" down, {last}")
    assert rest[1] == "Of these, from row 3 on, 3 at most."
    heads = [line for line in rest[2:] if not line.startswith(" ")]
    assert heads == [f"Plan of {shard}:" for shard in SHARDS]
    assert len(rest) >= 2 + 2 * len(SHARDS)


def test_explain_of_one_shard(shop: str) -> None:
    product = product_on(THIRD)
    rows = Review.objects.using(SHOP).filter(product=product)
    lines = rows.explain().splitlines()
    why = "the key is given (sharded_review.product_id)"
    assert lines[:2] == [f"One shard, {THIRD}: {why}.", "Asked there:"]
    assert f"  with {product.pk}" in lines
    assert f"Plan of {THIRD}:" in lines
    with on_shard(SHOP, shard=SECOND):
        lines = Product.objects.using(SHOP).explain().splitlines()
    assert lines[0] == f"One shard, {SECOND}: on_shard() says so."


def test_explain_of_an_aggregate(shop: str) -> None:
    rows = Product.objects.using(SHOP).order_by()
    query = rows.query.clone()
    query.add_annotation(Sum("weight"), "x", select=True)
    query.set_annotation_mask({"x"})
    query.default_cols, query.group_by = False, None
    compiler = query.get_compiler(using=SHOP)
    plan = Reading(compiler).plan(*compiler.as_sql())
    assert plan.merge is not None
    assert plan.merge.folds == ("sum",)


def test_explain_brings_nothing_together(shop: str) -> None:
    author = Author.objects.using(SHOP).create(name="x")
    review_on(SECOND, author=author)
    rows = Review.objects.using(SHOP).filter(author__name="x", stars=3)
    lines = rows.explain()
    every = ", ".join(SHARDS)
    head, *rest = lines.splitlines()
    assert head == f"Gathered from {every} on {FIRST}: no key is given."
    assert f"  sharded_author from {every}: no key is given" in rest
    joined = (
        "    of these only those whose id is in sharded_review.author_id, if that has "
        "no more than 2000 values"
    )
    assert joined in rest
    assert f"Then runs on {FIRST}, over what was sent:" in rest
    assert f"Plan of {SECOND} for sharded_review:" in rest
    assert rest[-1] == (
        f"How {FIRST} does that is planned once it is there, and so not known."
    )


def test_explain_that_analyzes_runs_a_gathered_query(shop: str) -> None:
    if shop == "sqlite":
        with pytest.raises(ValueError, match="Unknown options: analyze"):
            Product.objects.using(SHOP).explain(analyze=True)
        return
    author = Author.objects.using(SHOP).create(name="x")
    review_on(SECOND, author=author)
    lines = Review.objects.using(SHOP).filter(author__name="x").explain(analyze=True)
    last = lines.splitlines()
    assert f"Plan of {FIRST}:" in last
    assert "not known" not in lines
    if shop == "postgresql":
        own = lines.partition(f"Plan of {FIRST}:")[2]
        assert "actual" in own
        assert "rows=1" in own


def test_explain_of_groups(shop: str) -> None:
    rows = Review.objects.using(SHOP).values("stars").annotate(x=Avg("pk"))
    lines = rows.order_by("stars").explain().splitlines()
    every = ", ".join(SHARDS)
    assert lines[0] == (
        f"Scattered to {every}, put together on {FIRST}: no key is given."
    )
    assert f"Then runs on {FIRST}, over what was sent:" in lines
    assert lines[-1].startswith(f"How {FIRST} does that is planned")


def test_explain_of_several_queries_in_one(shop: str) -> None:
    product = product_on(THIRD, name="a")
    rows = Product.objects.using(SHOP).values("name")
    both = rows.filter(name="a").union(rows.filter(pk=product.pk))
    lines = both.explain().splitlines()
    assert lines[0].startswith("Scattered to ")
    assert lines.count("Each is asked:") == 1
    assert lines.count(f"Asked on {THIRD}:") == 1
    assert lines.count(f"Plan of {THIRD}:") == 2


def test_explain_as_json_is_one_document(shop: str) -> None:
    rows = Product.objects.using(SHOP).order_by("-weight")
    if shop == "sqlite":
        with pytest.raises(ValueError, match="JSON is not a recognized format"):
            rows.explain(format="json")
        return
    found = json.loads(rows.explain(format="json"))
    assert (found["way"], found["shards"]) == ("scatter", [*SHARDS])
    assert [one["alias"] for one in found["plans"]] == [*SHARDS]
    for one in found["plans"]:
        own = one["plan"] if shop == "postgresql" else [one["plan"]]
        assert isinstance(own[0], dict)
    with pytest.raises(ValueError, match=r"XML is not .* Allowed formats: JSON, T"):
        rows.explain(format="xml")


def test_explain_of_nothing_is_empty(shop: str) -> None:
    assert Product.objects.using(SHOP).filter(pk__in=[]).explain() == ""


def test_explain_locks_nothing(shop: str) -> None:
    product = product_on(SECOND)
    with transaction.atomic(using=SHOP):
        rows = Product.objects.using(SHOP).select_for_update()
        assert rows.filter(pk=product.pk).explain().startswith(f"One shard, {SECOND}")
        assert rows.explain().startswith("Gathered from")
