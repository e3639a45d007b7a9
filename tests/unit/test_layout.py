"""How the rows of a model lie, and what is wrong with what models declare."""

import gc
import weakref
from typing import Any

import pytest
from django.apps import apps
from django.core.cache.backends.db import Options
from django.db import models
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Lower
from django.test.utils import isolate_apps
from tests.integration.publishing.conftest import aliases
from tests.unit.declared import SHARDS, cluster, link, made

from shoal.errors import DeclarationError, KeyMismatch, MissingKey
from shoal.placement import directory, modulo, ranges, reference, sharded
from shoal.placement.enforcing import enforces, enforces_unique
from shoal.placement.layout import bucket_of, layout_of
from shoal.placement.problems import KINDS, Problem, problems
from shoal.placement.schemes import BITS, HASH, Custom, Directory, Modulo
from shoal.topology import Cluster

BUCKETED = cluster()
PLAIN = cluster(ids="plain")
BOTH = pytest.mark.parametrize("on", [BUCKETED, PLAIN], ids=["bucketed", "plain"])


@pytest.fixture(autouse=True)
def isolated() -> Any:
    with isolate_apps("tests.project.feedback"):
        yield


def strategies(model: Any, on: Cluster = BUCKETED) -> dict[str, Any]:
    found = layout_of(model, on).locators
    return {column: locator.strategy for column, locator in found.items()}


def reviews(on: Any = None, **options: Any) -> Any:
    product = made("Product")
    review = made("Review", product=link(on or product))
    return sharded(key="product", **options)(review)


# Where rows lie.


def test_undeclared_lies_by_its_primary_key() -> None:
    model = made("Thing")
    layout = layout_of(model, BUCKETED)
    assert (layout.kind, layout.key, layout.primary_key) == (
        "sharded",
        ("id",),
        ("id",),
    )
    assert (layout.allots_ids, layout.ids) == (True, "bucketed")
    assert strategies(model) == {"id": BITS}
    layout = layout_of(model, PLAIN)
    assert (layout.kind, layout.key) == ("sharded", ("id",))
    assert (layout.allots_ids, layout.ids) == (True, "plain")
    assert strategies(model, PLAIN) == {"id": HASH}


@BOTH
@pytest.mark.parametrize("field", [models.UUIDField, models.TextField])
def test_an_id_of_the_project_is_hashed(field: Any, on: Cluster) -> None:
    model = made("Thing", code=field(primary_key=True))
    layout = layout_of(model, on)
    assert (layout.allots_ids, layout.ids) == (False, "plain")
    assert strategies(model, on) == {"code": HASH}


def test_a_number_of_the_project_carries_no_bucket() -> None:
    model = made("Thing", number=models.BigIntegerField(primary_key=True))
    assert layout_of(model, BUCKETED).ids == "plain"
    assert strategies(model) == {"number": HASH}


@BOTH
def test_what_cannot_be_hashed_is_at_home(on: Cluster) -> None:
    model = made("Day", day=models.DateField(primary_key=True))
    layout = layout_of(model, on)
    assert (layout.kind, layout.key, dict(layout.locators)) == ("home", (), {})
    with pytest.raises(DeclarationError) as caught:
        bucket_of(layout, {"day": 5})
    assert str(caught.value) == (
        "feedback.Day has no key: its rows are not sharded but home.\n"
        'Hint: Only what is @sharded lies by a key: @sharded(key="...").'
    )


@BOTH
def test_a_reference_is_on_every_shard(on: Cluster) -> None:
    layout = layout_of(reference(made("Product")), on)
    assert (layout.kind, layout.key) == ("reference", ())
    assert (layout.allots_ids, layout.ids) == (True, "plain")


@BOTH
def test_the_history_of_migrations_is_of_each_shard(on: Cluster) -> None:
    layout = layout_of(MigrationRecorder.Migration, on)
    assert (layout.kind, layout.allots_ids) == ("local", False)


def test_a_stand_in_of_the_cache_is_at_home() -> None:
    class Entry:
        _meta = Options("cache_table")

    assert layout_of(Entry, BUCKETED).kind == "home"


def test_a_key_and_a_bucketed_id_both_tell() -> None:
    review = reviews()
    assert layout_of(review, BUCKETED).key == ("product_id",)
    assert strategies(review) == {"product_id": BITS, "id": BITS}
    assert strategies(review, PLAIN) == {"product_id": HASH}


def test_a_key_follows_its_foreign_key_to_the_end() -> None:
    plan = sharded(by=modulo(4))(made("Plan", n=models.IntegerField(primary_key=True)))
    tenant = made("Tenant", plan=link(plan, primary_key=True))
    user = sharded(key="tenant")(made("User", tenant=link(tenant)))
    assert strategies(tenant) == {"plan_id": Modulo(4)}
    assert strategies(user) == {"id": BITS, "tenant_id": Modulo(4)}
    assert layout_of(user, BUCKETED).locators["tenant_id"].types == ("int",)


def test_a_key_to_what_does_not_tell_is_hashed() -> None:
    tenant = made("Tenant", slug=models.SlugField(unique=True))
    by_slug = link(tenant, to_field="slug")
    by_reference = link(reference(made("Country")))
    elsewhere = link(made("Page", meta={"app_label": "pages"}))
    for to in (by_slug, by_reference, elsewhere):
        model = sharded(key="to")(made("User", to=to))
        assert strategies(model)["to_id"] == HASH
        apps.clear_cache()
        model._meta.apps.all_models["feedback"].pop("user")


def test_its_own_strategy_wins_over_the_foreign_key() -> None:
    assert strategies(reviews(by=modulo(2)))["product_id"] == Modulo(2)
    text = models.TextField(primary_key=True)
    model = sharded(by=directory())(made("Tenant", name=text))
    assert strategies(model) == {"name": Directory("feedback")}
    by_path = sharded(by="math.floor")(made("Other", n=text.clone()))
    assert isinstance(strategies(by_path)["n"], Custom)


def test_keys_that_point_to_each_other_end_in_a_hash() -> None:
    one = made("One", other=link("feedback.Other", primary_key=True))
    other = made("Other", number=models.IntegerField(unique=True), one=link(one))
    sharded(key="one")(other)
    assert strategies(one, PLAIN) == {"other_id": HASH}
    assert strategies(other, PLAIN) == {"one_id": HASH}


def test_a_composite_primary_key_is_hashed_as_a_whole() -> None:
    model = made(
        "Line",
        order=models.IntegerField(),
        name=models.TextField(),
        pk=models.CompositePrimaryKey("order", "name"),
    )
    layout = layout_of(model, BUCKETED)
    assert (layout.key, layout.primary_key) == (("order", "name"),) * 2
    assert dict(layout.locators) == {}
    bucket = bucket_of(layout, {"order": "7", "name": "a"})
    assert bucket == 0xB5B
    with pytest.raises(MissingKey):
        bucket_of(layout, {"order": 7})


def test_a_part_of_a_composite_primary_key_may_be_the_key() -> None:
    model = made(
        "Line",
        order=models.IntegerField(),
        day=models.DateField(),
        pk=models.CompositePrimaryKey("order", "day"),
    )
    assert layout_of(model, BUCKETED).kind == "home"
    model._meta.apps.all_models["feedback"].clear()
    model = sharded(key="order")(
        made(
            "Line",
            order=models.IntegerField(),
            day=models.DateField(),
            pk=models.CompositePrimaryKey("order", "day"),
        )
    )
    assert strategies(model) == {"order": HASH}


def test_the_setting_gives_a_key_where_the_model_says_none() -> None:
    on = cluster(keys={"feedback.review": ("product",)})
    review = made("Review", product=link(made("Product")))
    assert layout_of(review, on).key == ("product_id",)
    assert layout_of(review, BUCKETED).key == ("id",)
    declared = sharded(key="author")(
        made("Vote", product=link("Product"), author=models.IntegerField())
    )
    on = cluster(keys={"feedback.vote": ("product",)})
    assert layout_of(declared, on).key == ("author",)


# Rows that lie with others.


@pytest.mark.parametrize("target", ["feedback.Tag", "self"])
def test_the_table_of_a_many_to_many_field_lies_with_its_source(target: str) -> None:
    made("Tag")
    review = made("Review", tags=models.ManyToManyField(target))
    through = review.tags.through
    key = "review_id" if target == "feedback.Tag" else "from_review_id"
    assert layout_of(through, BUCKETED).key == (key,)
    assert strategies(through) == {"id": BITS, key: BITS}
    assert enforces(through._meta.get_field(key.removesuffix("_id")), BUCKETED)


@BOTH
def test_the_table_of_a_many_to_many_field_is_what_its_source_is(on: Cluster) -> None:
    product = reference(made("Product", tags=models.ManyToManyField(made("Tag"))))
    layout = layout_of(product.tags.through, on)
    assert (layout.kind, layout.allots_ids, layout.ids) == ("reference", True, "plain")
    day = models.DateField(primary_key=True)
    days = made("Day", day=day, tags=models.ManyToManyField("feedback.Tag"))
    assert layout_of(days.tags.through, on).kind == "home"


def test_a_multi_table_child_lies_with_its_parent() -> None:
    parent = reviews()
    child = made("LongReview", parent)
    grandchild = made("Essay", child)
    for model, column in ((child, "review_ptr_id"), (grandchild, "longreview_ptr_id")):
        layout = layout_of(model, BUCKETED)
        assert (layout.key, layout.primary_key) == ((column,), (column,))
        assert (layout.allots_ids, layout.ids) == (False, "plain")
        assert strategies(model) == {column: BITS}
    child = made("LongProduct", reference(made("Short")))
    assert layout_of(child, BUCKETED).kind == "reference"


def test_a_multi_table_child_that_is_lost() -> None:
    layout = layout_of(made("LongReview", reviews()), PLAIN)
    assert (layout.kind, dict(layout.locators)) == ("sharded", {})
    with pytest.raises(DeclarationError) as caught:
        bucket_of(layout, {"review_ptr_id": 5})
    assert str(caught.value) == (
        "feedback.LongReview lies with the rows of its parent feedback.Review, "
        "but its own columns do not say where they are.\n"
        'Hint: Use "IDS": "bucketed", so that the shared primary key carries the '
        "bucket, or shard feedback.Review by its primary key."
    )


def test_a_proxy_lies_as_its_concrete_model() -> None:
    review = reviews()
    proxy = made("Proxy", review, meta={"proxy": True})
    assert layout_of(proxy, BUCKETED) is layout_of(review, BUCKETED)
    to_proxy = made("Comment", review=link(proxy, primary_key=True))
    assert strategies(to_proxy) == {"review_id": BITS}


def test_a_model_of_the_history_lies_as_the_real_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    review = reviews()
    monkeypatch.setitem(apps.all_models["feedback"], "review", review)
    state = ProjectState()
    for model in (review, review._meta.get_field("product").remote_field.model):
        state.add_model(ModelState.from_model(model))
    old = state.apps.get_model("feedback", "Review")
    assert old is not review
    assert strategies(old) == {"product_id": BITS, "id": BITS}
    state.remove_field("feedback", "review", "product")
    older = state.apps.get_model("feedback", "Review")
    with pytest.raises(DeclarationError, match="is 'product', which is not a"):
        bucket_of(layout_of(older, BUCKETED), {"id": 5})


# How a layout is kept, and asked.


def test_a_layout_is_kept_until_the_cluster_changes() -> None:
    model = made("Thing")
    layout = layout_of(model, BUCKETED)
    assert layout_of(model, BUCKETED) is layout
    assert layout_of(model, PLAIN).ids == "plain"
    child = made("Child", model)
    assert layout_of(child, PLAIN) is not layout_of(model, PLAIN)


def test_a_layout_keeps_no_model_alive() -> None:
    with isolate_apps("tests.project.feedback"):
        model = made("Thing")
        layout_of(model, BUCKETED)
        alive = weakref.ref(model)
        del model
    gc.collect()
    assert alive() is None


def test_the_bucket_of_a_row() -> None:
    layout = layout_of(reviews(), BUCKETED)
    assert bucket_of(layout, {"product_id": "12345"}) == 12345 % 4096
    assert bucket_of(layout, {"product_id": 5, "id": None}) == 5
    assert bucket_of(layout, {"product_id": 5, "id": 5 + 4096 * 9}) == 5
    with pytest.raises(MissingKey):
        bucket_of(layout, {"id": 5})
    with pytest.raises(KeyMismatch) as caught:
        bucket_of(layout, {"product_id": 5, "id": 6})
    assert str(caught.value) == (
        "feedback.Review: id 6 belongs to bucket 6, but the key (product_id) to "
        "bucket 5.\nHint: Leave id out, and the row gets one that fits its key."
    )


def reviews_again() -> Any:
    return sharded(key="product")(made("Again", product=link("feedback.Product")))


@pytest.mark.parametrize("falsy", [0, "", False])
def test_what_is_falsy_is_a_key(falsy: Any) -> None:
    fields = {
        int: models.IntegerField,
        str: models.TextField,
        bool: models.BooleanField,
    }
    field = fields[type(falsy)]()
    layout = layout_of(sharded(key="field")(made("Thing", field=field)), PLAIN)
    assert bucket_of(layout, {"field": falsy}) in (0x7DE, 0xD41)


def test_what_a_filter_may_rest_on() -> None:
    text = models.CharField(primary_key=True, db_collation="case_insensitive")
    tenant = made("Tenant", name=text)
    layout = layout_of(sharded(key="to")(made("User", to=link(tenant))), BUCKETED)
    assert not layout.prunes("to_id", "postgresql")
    assert layout.prunes("id", "postgresql")
    assert not layout.prunes("other", "postgresql")


# What each shard can check alone.


def fk(model: Any, name: str = "to") -> Any:
    return model._meta.get_field(name)


def test_which_foreign_keys_a_shard_can_check() -> None:
    product, day = made("Product"), made("Day", day=models.DateField(primary_key=True))
    country = reference(made("Country"))
    page = made("Page", meta={"app_label": "pages"})
    cases = [
        (made("A", to=link(product)), False),
        (made("B", to=link(country)), True),
        (made("C", to=link(day)), False),
        (made("D", to=link(page)), False),
        (sharded(key="to")(made("E", to=link(product))), True),
        (made("F", to=link(product, primary_key=True)), True),
        (sharded(key="to", by=modulo(4))(made("G", to=link(product))), False),
        (reference(made("H", to=link(product))), False),
        (reference(made("I", to=link(country))), True),
        (made("J", d=models.DateField(primary_key=True), to=link(day)), True),
        (made("K", d=models.DateField(primary_key=True), to=link(product)), False),
        (made("L", d=models.DateField(primary_key=True), to=link(country)), True),
    ]
    for model, expected in cases:
        assert enforces(fk(model), BUCKETED) is expected, model
    assert enforces(fk(made("M", product), "product_ptr"), BUCKETED)
    assert not enforces(product._meta.pk, BUCKETED)


def test_a_bucketed_id_need_not_be_the_key_to_be_pointed_to() -> None:
    vote = sharded(key="review")(made("Vote", review=link(reviews())))
    assert enforces(fk(vote, "review"), BUCKETED)
    assert not enforces(fk(vote, "review"), PLAIN)


def test_siblings_are_not_checked_by_their_common_key() -> None:
    review = reviews()
    vote = made("Vote", product=link("feedback.Product"), review=link(review))
    sharded(key="product")(vote)
    assert enforces(fk(vote, "product"), BUCKETED)
    assert not enforces(fk(vote, "review"), BUCKETED)


def test_which_uniques_a_shard_can_check() -> None:
    review = made("Review", product=link(made("Product")), n=models.IntegerField())
    sharded(key="product")(review)
    for names, on_bucketed, on_plain in [
        (["product"], True, True),
        (["product_id", "n"], True, True),
        (["n"], False, False),
        (["id"], True, False),
        (["pk"], True, False),
        (["n", "id"], True, False),
    ]:
        assert enforces_unique(review, names, BUCKETED) is on_bucketed, names
        assert enforces_unique(review, names, PLAIN) is on_plain, names
    assert not enforces_unique(review, [], BUCKETED)
    assert enforces_unique(
        reference(made("All", n=models.IntegerField())), ["n"], PLAIN
    )


def test_a_key_of_two_columns_is_unique_with_both() -> None:
    fields = {name: models.IntegerField() for name in ("a", "b", "c")}
    model = sharded(key=("a", "b"))(made("Thing", **fields))
    assert enforces_unique(model, ["a", "b", "c"], PLAIN)
    assert not enforces_unique(model, ["a", "c"], PLAIN)


# What is wrong.


def found(*models: Any, on: Cluster = BUCKETED) -> list[Problem]:
    return problems(models, on)


def one(*models: Any, on: Cluster = BUCKETED) -> Problem:
    (problem,) = found(*models, on=on)
    assert problem.kind in KINDS
    return problem


@BOTH
def test_nothing_is_wrong(on: Cluster) -> None:
    product = reference(made("Product", name=models.TextField(unique=True)))
    review = made("Review", product=link(product), n=models.IntegerField())
    review._meta.unique_together = (("product", "n"),)
    uuid = made("Uuid", id=models.UUIDField(primary_key=True), p=link(product))
    proxy = made("Proxy", review, meta={"proxy": True})
    models_ = (product, sharded(key="product")(review), sharded(key="p")(uuid), proxy)
    assert found(*models_, on=on) == []


def test_a_key_that_is_no_field() -> None:
    model = sharded(key="prodct")(made("Review", product=models.IntegerField()))
    assert one(model) == Problem(
        kind="unknown_key",
        message="The key of feedback.Review is 'prodct', which is not a field of it.",
        hint="Did you mean 'product'? Known: 'id', 'product'.",
        model=model,
    )


def test_a_key_that_is_no_column() -> None:
    review = made("Review", tags=models.ManyToManyField(made("Tag")))
    assert found(sharded(key="tags")(review))[0].message == (
        "The key of feedback.Review is 'tags', which has no column in its table."
    )


def test_a_key_of_a_type_without_buckets() -> None:
    model = sharded(key="day")(made("Review", day=models.DateField()))
    problem = one(model)
    assert problem.kind == "key_type"
    assert problem.message == (
        "The key of feedback.Review is 'day', a DateField, whose values give no bucket."
    )


def test_a_generated_key_is_not_known_in_time() -> None:
    key = models.GeneratedField(
        expression=models.F("n") + 1,
        output_field=models.IntegerField(),
        db_persist=True,
    )
    model = sharded(key="key")(made("Review", n=models.IntegerField(), key=key))
    assert one(model).kind == "key_type"


@pytest.mark.parametrize("by", [modulo(3), ranges("a")])
def test_a_strategy_that_cannot_read_the_key(by: Any) -> None:
    key = models.TextField() if by == modulo(3) else models.IntegerField()
    type_ = "text" if by == modulo(3) else "int"
    problem = one(sharded(key="key", by=by)(made("Review", key=key)))
    assert problem.kind == "strategy"
    assert problem.message == (
        f"feedback.Review is sharded by {by.name}, which cannot read its key: "
        f"key ({type_})."
    )


def test_a_strategy_for_an_id_that_is_made_of_its_bucket() -> None:
    model = sharded(by=modulo(3))(made("Review"))
    assert one(model).message == (
        "feedback.Review is sharded by modulo of 'id', an id that is made of its "
        "bucket."
    )
    assert found(model, on=PLAIN) == []


def test_a_strategy_that_is_not_there() -> None:
    model = sharded(by="nowhere.bucket")(made("Review"))
    problem = one(model)
    assert problem.kind == "strategy"
    assert problem.message == (
        "feedback.Review: by='nowhere.bucket' cannot be imported: "
        "No module named 'nowhere'."
    )


def test_a_child_without_a_place() -> None:
    parent = reviews()
    assert one(made("LongReview", parent), on=PLAIN).kind == "multi_table"


def test_a_key_that_may_be_null() -> None:
    review = made("Review", product=link(made("Product"), null=True))
    problem = one(sharded(key="product")(review))
    assert (problem.kind, problem.field) == ("nullable_key", "product")
    assert problem.message == (
        "The key of feedback.Review is 'product', which may be NULL, "
        "and a row without a key is on no shard."
    )
    assert problem.hint == "Make 'product' null=False, or choose another key."


@pytest.mark.parametrize("field", [models.AutoField, models.SmallAutoField])
def test_an_id_that_is_too_narrow_for_its_bucket(field: Any) -> None:
    model = made("Review", id=field(primary_key=True))
    problem = one(model)
    assert (problem.kind, problem.field) == ("narrow_id", "id")
    assert problem.message == (
        f"feedback.Review.id is a {field.__name__}, but an id that carries its bucket "
        "needs 64 bits."
    )
    assert found(model, on=PLAIN) == found(reference(made("All"))) == []


def test_a_unique_field_that_no_shard_can_check() -> None:
    model = made("User", email=models.EmailField(unique=True))
    problem = one(model)
    assert (problem.kind, problem.field) == ("unique", "email")
    assert str(problem.message) == (
        "feedback.User: 'email' is unique, but equal ones may be on two shards, "
        "where no database sees both: the key is 'id'."
    )
    assert problem.hint == (
        "Make it unique together with 'id', choose it for the key, "
        "or declare the model @reference."
    )


def test_a_primary_key_that_no_shard_can_check() -> None:
    code = models.TextField(primary_key=True)
    model = sharded(key="n")(made("Thing", code=code, n=models.IntegerField()))
    assert "feedback.Thing: the primary key is unique" in one(model).message


def test_unique_constraints_that_no_shard_can_check() -> None:
    unique = models.UniqueConstraint
    meta = {
        "unique_together": [("a", "b"), ("a", "key")],
        "constraints": [
            unique(fields=["a"], name="one"),
            unique(fields=["a", "key"], name="fine"),
            unique(Lower("a"), name="two"),
            unique(Lower("a"), models.F("key"), name="also_fine"),
            unique(fields=["b"], condition=models.Q(a=1), name="three"),
            models.CheckConstraint(condition=models.Q(a=1), name="another"),
        ],
    }
    fields = {name: models.IntegerField() for name in ("a", "b", "key")}
    model = sharded(key="key")(made("Thing", meta=meta, **fields))
    named = [p.message.split(":")[1].split(" is unique")[0] for p in found(model)]
    assert named == [
        " unique_together ('a', 'b')",
        " the constraint 'one'",
        " the constraint 'two'",
        " the constraint 'three'",
    ]


def test_a_foreign_key_that_no_shard_can_check() -> None:
    product = made("Product")
    problem = one(made("Review", product=link(product)))
    assert (problem.kind, problem.field) == ("foreign_key", "product")
    assert problem.message == (
        "feedback.Review.product points to rows of feedback.Product that may be on "
        "another shard, where no database finds them: feedback.Review is sharded by "
        "'id', feedback.Product is sharded by 'id'."
    )
    assert problem.hint == (
        "Use db_constraint=False, declare feedback.Product @reference, "
        "or let both lie by the same key."
    )
    assert found(made("Other", product=link(product, db_constraint=False))) == []
    page = made("Page", meta={"app_label": "pages"})
    assert found(made("Elsewhere", page=link(page))) == []


def test_the_table_of_a_many_to_many_field_is_looked_at_too() -> None:
    review = made("Review", tags=models.ManyToManyField(made("Tag")))
    problem = one(review)
    assert (problem.model, problem.field) == (review.tags.through, "tag")
    assert found(review, review.tags.through) == [problem]


def test_a_table_that_django_does_not_make_has_no_constraints() -> None:
    code = models.TextField(unique=True)
    assert found(made("View", code=code, meta={"managed": False})) == []


def keys(**labels: str) -> Cluster:
    return cluster(keys={f"feedback.{n}": (key,) for n, key in labels.items()})


def wrong_setting(*models: Any, **labels: str) -> tuple[str, str]:
    problem = one(*models, on=keys(**labels))
    assert problem.kind == "keys_setting"
    where = 'SHOAL["CLUSTERS"][\'feedback\']["KEYS"] '
    assert problem.message.startswith(where)
    return problem.message.removeprefix(where), problem.hint


def test_keys_that_do_not_fit() -> None:
    model = made("Thing", a=models.IntegerField(), b=models.IntegerField())
    assert found(model, on=keys(thing="a")) == []
    assert one(model, on=keys(thing="c")).kind == "unknown_key"
    assert wrong_setting(model, thin="a") == (
        "names 'feedback.thin', which is no model.",
        "Did you mean 'feedback.thing'? Known: 'feedback.thing'.",
    )
    sharded(key="b")(model)
    assert found(model, on=keys(thing="b")) == []
    assert wrong_setting(model, thing="a") == (
        "gives feedback.Thing a key, but the model itself says key=('b',).",
        "Keep one of the two; what the model says counts.",
    )


def test_keys_for_what_lies_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = made("Parent")
    child = made("Child", parent, a=models.IntegerField())
    assert wrong_setting(parent, child, child="a") == (
        "gives feedback.Child a key, but its rows lie with its parent's, "
        "feedback.Parent.",
        "Give feedback.Parent the key.",
    )
    proxy = made("Proxy", parent, meta={"proxy": True})
    monkeypatch.setitem(apps.all_models["feedback"], "proxy", proxy)
    assert wrong_setting(parent, proxy="id") == (
        "gives feedback.Proxy a key, but it is a proxy of feedback.Parent.",
        "Give feedback.Parent the key.",
    )
    page = cluster(keys={"pages.page": ("id",)})
    assert "the model does not live on this cluster" in one(parent, on=page).message


def test_another_server_has_other_problems() -> None:
    narrow = made("Narrow", id=models.AutoField(primary_key=True))
    text = made("Text", name=models.TextField(primary_key=True))
    nocase = models.TextField(primary_key=True, db_collation="NOCASE")
    nocased = made("Nocase", name=nocase)
    with aliases(
        {"lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    ):
        on = cluster(shards=(Cluster(name="lite"), *SHARDS))
        assert found(narrow, text, on=on) == []
        problem = found(nocased, on=on)[0]
        assert problem.kind == "inexact_key"
        assert problem.hint == "Remove db_collation from feedback.Nocase.name."


@pytest.mark.mariadb
def test_mysql_calls_different_texts_equal() -> None:
    text = made("Text", name=models.CharField(primary_key=True, max_length=50))
    link_ = sharded(key="text")(made("Link", text=link(text)))
    exact = models.CharField(
        primary_key=True, max_length=50, db_collation="utf8mb4_nopad_bin"
    )
    with aliases({"maria": {"ENGINE": "django.db.backends.mysql", "NAME": "none"}}):
        on = cluster(shards=(Cluster(name="maria"), *SHARDS))
        assert found(made("Exact", name=exact), on=on) == []
        assert [p.kind for p in found(text, on=on)] == ["inexact_key", "unique"]
        problem, *others = found(link_, on=on)
        assert [p.kind for p in others] == ["foreign_key"]
    assert problem.message == (
        "The key of feedback.Link is 'text', a text that the database may call equal "
        "to another one, on another shard."
    )
    assert problem.hint == (
        'Give feedback.Text.name db_collation="utf8mb4_nopad_bin" on MariaDB, '
        '"utf8mb4_0900_bin" on MySQL.'
    )
