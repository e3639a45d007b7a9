"""What the router answers, without any server."""

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, router
from django.db.models import Model
from django.test import RequestFactory, override_settings
from django.utils.connection import ConnectionDoesNotExist
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from tests.project.catalog.models import Bundle, Product, Tag
from tests.project.feedback.models import Review, Vote
from tests.project.pages.models import Page, Topic

from shoal.errors import UnknownCluster, UnknownRole
from shoal.routing import (
    Router,
    fresh,
    pinned,
    role,
    stale,
    unguarded,
    unit_of_work,
    writes,
)
from shoal.routing.context import current, current_unit
from shoal.routing.members import pick_replica
from shoal.topology import Replica

REPLICAS = {"catalog_r1", "catalog_r2"}


def kept(instance: Model, alias: str | None) -> Any:
    instance._state.db = alias
    return instance


def test_a_cluster_without_replicas_has_one_answer() -> None:
    for model, alias in ((Review, "feedback"), (User, "accounts")):
        assert router.db_for_read(model) == alias
        assert router.db_for_write(model) == alias


def test_nothing_is_answered_for_what_nobody_claims() -> None:
    with override_settings(SHOAL={"CLUSTERS": {"feedback": {"APPS": ["feedback"]}}}):
        mine = Router()
        assert mine.db_for_read(Product) is None
        assert mine.db_for_write(Product) is None
        assert mine.allow_relation(Product(), Tag()) is None
        assert mine.allow_migrate("catalog", "catalog", "product") is None
        assert mine.allow_migrate("feedback", "catalog", "product") is False
        assert mine.allow_migrate("catalog", "feedback", "review") is False


def test_without_a_setting_the_router_steps_aside() -> None:
    with override_settings(SHOAL={}):
        assert Router().db_for_read(Product) is None
        assert Router().allow_migrate("catalog", "feedback", "review") is None


def test_one_replica_serves_a_unit_of_work() -> None:
    seen = set()
    for _ in range(60):
        with unit_of_work():
            answers = {router.db_for_read(Product) for _ in range(20)}
            assert len(answers) == 1
            seen |= answers
    assert seen == REPLICAS


def test_writes_go_to_the_primary_and_reads_follow_them() -> None:
    with unit_of_work():
        assert router.db_for_read(Product) in REPLICAS
        assert router.db_for_write(Product) == "catalog"
        assert router.db_for_read(Product) in REPLICAS, "asking is not writing"
        writes.committed(current_unit(), "catalog")
        assert router.db_for_read(Product) == "catalog"
        with stale("catalog"):
            assert router.db_for_read(Product) in REPLICAS
        with unit_of_work():
            assert router.db_for_read(Product) in REPLICAS
        assert router.db_for_read(Product) == "catalog"


def test_pinned_and_stale_nest_and_restore() -> None:
    with unit_of_work():
        with pinned():
            assert router.db_for_read(Product) == "catalog"
            with stale("catalog"):
                assert router.db_for_read(Product) in REPLICAS
                with pinned("catalog"):
                    assert router.db_for_read(Product) == "catalog"
                assert router.db_for_read(Product) in REPLICAS
            assert router.db_for_read(Product) == "catalog"
        assert router.db_for_read(Product) in REPLICAS
        with pytest.raises(RuntimeError, match="on purpose"), pinned("catalog"):
            raise RuntimeError("on purpose")
        assert router.db_for_read(Product) in REPLICAS


def test_pinned_wins_over_an_outer_stale() -> None:
    with unit_of_work(), stale("catalog"):
        assert router.db_for_read(Product) in REPLICAS
        with pinned():
            assert router.db_for_read(Product) == "catalog"
        assert router.db_for_read(Product) in REPLICAS


def test_a_cluster_stands_for_its_editions() -> None:
    with pinned("pages"):
        assert dict(current().pins) == {"pages": True, "pages_draft": True}


def test_one_scope_in_two_threads() -> None:
    """Thread 1 enters, thread 2 enters, 1 leaves, 2 leaves: nothing is left over."""
    scope, entered, left = pinned("catalog"), threading.Barrier(2), threading.Event()
    after: dict[str, Any] = {}

    def first() -> None:
        with stale("catalog"):
            with scope:
                entered.wait(60)
            after["first"] = dict(current().pins)
        left.set()

    def second() -> None:
        with scope:
            entered.wait(60)
            left.wait(60)
        after["second"] = dict(current().pins)

    threads = [threading.Thread(target=run) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert after == {"first": {"catalog": False}, "second": {}}


class AsyncView(View):
    async def get(self, request: Any) -> str:
        await asyncio.sleep(0)
        return str(router.db_for_write(Page))


def plain_function_of_a_coroutine(request: Any) -> Any:
    return AsyncView().get(request)


@pytest.mark.parametrize(
    "view",
    [
        role("pages", "draft")(AsyncView().get),
        role("pages", "draft")(plain_function_of_a_coroutine),
        method_decorator(role("pages", "draft"), name="dispatch")(AsyncView).as_view(),
        role("pages", "draft")(AsyncView.as_view()),
    ],
    ids=["async def", "returns a coroutine", "dispatch", "as_view"],
)
def test_scopes_decorate_whatever_is_awaited(view: Any) -> None:
    async def call() -> str:
        return str(await view(RequestFactory().get("/")))

    assert asyncio.run(call()) == "pages_draft"


def test_what_a_child_task_has_written_binds_its_unit_of_work() -> None:
    async def write() -> None:
        writes.committed(current_unit(), "catalog")

    async def unit() -> str | None:
        with unit_of_work():
            await asyncio.gather(write(), write())
            return router.db_for_read(Product)

    async def both() -> list[str | None]:
        async def reader() -> str | None:
            with unit_of_work():
                await asyncio.sleep(0)
                return router.db_for_read(Product)

        return await asyncio.gather(unit(), reader())

    mine, other = asyncio.run(both())
    assert mine == "catalog"
    assert other in REPLICAS


def test_a_replica_that_is_no_more_is_not_kept() -> None:
    entry = {"APPS": ["catalog"], "REPLICAS": ["catalog_r1"]}
    with unit_of_work(), override_settings(SHOAL={"CLUSTERS": {"catalog": entry}}):
        assert router.db_for_read(Product) == "catalog_r1"
        entry = {"APPS": ["catalog"], "REPLICAS": ["catalog_r2"]}
        with override_settings(SHOAL={"CLUSTERS": {"catalog": entry}}):
            assert router.db_for_read(Product) == "catalog_r2"


def test_no_replica_inside_a_transaction_of_the_primary() -> None:
    connection = connections["catalog"]
    with unit_of_work():
        assert router.db_for_read(Product) in REPLICAS
        connection.in_atomic_block = True
        try:
            assert router.db_for_read(Product) == "catalog"
        finally:
            connection.in_atomic_block = False
        assert router.db_for_read(Product) in REPLICAS


@pytest.mark.parametrize(
    ("consistency", "before", "after"),
    [
        ("session", REPLICAS, {"catalog"}),
        ("eventual", REPLICAS, REPLICAS),
        ("primary", {"catalog"}, {"catalog"}),
    ],
)
def test_consistency(consistency: str, before: set[str], after: set[str]) -> None:
    entry = {
        "APPS": ["catalog"],
        "REPLICAS": ["catalog_r1", "catalog_r2"],
        "CONSISTENCY": consistency,
    }
    with override_settings(SHOAL={"CLUSTERS": {"catalog": entry}}), unit_of_work():
        assert router.db_for_read(Product) in before
        writes.committed(current_unit(), "catalog")
        assert router.db_for_read(Product) in after


def test_replicas_are_picked_by_weight() -> None:
    replicas = [
        Replica(alias="a", weight=2),
        Replica(alias="none", weight=0),
        Replica(alias="b", weight=1),
    ]
    picks = [pick_replica(replicas, draw / 300) for draw in range(300)]
    assert (picks.count("a"), picks.count("b"), picks.count("none")) == (200, 100, 0)
    assert pick_replica([Replica(alias="a", weight=0)], 0.5) is None
    assert pick_replica([], 0.5) is None


def test_a_cluster_whose_replicas_all_weigh_nothing_reads_from_its_primary() -> None:
    entry = {"APPS": ["catalog"], "REPLICAS": {"catalog_r1": {"WEIGHT": 0}}}
    with override_settings(SHOAL={"CLUSTERS": {"catalog": entry}}), unit_of_work():
        assert router.db_for_read(Product) == "catalog"


def test_a_role_chooses_the_edition() -> None:
    assert router.db_for_read(Page) == "pages"
    with role("pages", "draft"):
        assert router.db_for_read(Page) == router.db_for_write(Page) == "pages_draft"
        with role("pages", "public"):
            assert router.db_for_read(Page) == "pages"
        assert router.db_for_write(Page) == "pages_draft"
    assert router.db_for_write(Page) == "pages"


def test_an_object_stays_on_its_edition() -> None:
    draft = kept(Page(), "pages_draft")
    assert router.db_for_write(Page, instance=draft) == "pages_draft"
    with role("pages", "public"):
        assert router.db_for_read(Topic, instance=draft) == "pages_draft"
    with role("pages", "draft"):
        assert router.db_for_write(Page, instance=kept(Page(), None)) == "pages_draft"
        user = kept(User(), "accounts")
        assert router.db_for_write(Page, instance=user) == "pages_draft"


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(UnknownRole) as unknown_role:
        role("pages", "drafd")
    assert str(unknown_role.value) == (
        "The cluster 'pages' has no edition with the role 'drafd'.\n"
        "Hint: Did you mean 'draft'? Known: 'draft', 'public'."
    )
    with pytest.raises(UnknownRole) as no_roles:
        role("catalog", "draft")
    assert str(no_roles.value) == (
        "The cluster 'catalog' has no edition with the role 'draft'.\n"
        """Hint: Add "ROLES" to SHOAL["CLUSTERS"]['catalog']."""
    )
    with pytest.raises(ConnectionDoesNotExist, match="Did you mean 'catalog'"):
        unguarded("catalogs")
    with pytest.raises(UnknownCluster) as unknown_cluster:
        pinned("catalogue")
    assert str(unknown_cluster.value) == (
        "No cluster is named 'catalogue'.\n"
        "Hint: Did you mean 'catalog'? Known: 'accounts', 'catalog', 'feedback', "
        "'pages', 'pages_draft'."
    )


def test_relations_within_a_cluster_and_across() -> None:
    product, review = kept(Product(), "catalog"), kept(Review(), "feedback")
    assert router.allow_relation(product, kept(Tag(), "catalog_r1"))
    assert router.allow_relation(review, product), "no constraint"
    assert router.allow_relation(review, kept(User(), "accounts"))
    assert not router.allow_relation(kept(Vote(), "feedback"), product)
    assert not router.allow_relation(product, kept(Topic(), "pages"))


def test_relations_with_a_lazy_object() -> None:
    user = SimpleLazyObject(lambda: kept(User(pk=1), "accounts"))
    review = Review(author=user)
    assert review.author == user
    assert router.allow_relation(kept(Review(), "feedback"), user)
    assert router.db_for_read(Review, instance=user) == "feedback"


def test_a_child_may_stand_where_its_parent_may() -> None:
    assert router.allow_relation(kept(Review(), "feedback"), kept(Bundle(), "catalog"))


def test_relations_do_not_mix_editions() -> None:
    public, draft = kept(Page(), "pages"), kept(Topic(), "pages_draft")
    assert not router.allow_relation(public, draft)
    assert router.allow_relation(kept(Page(), "pages_draft"), draft)
    assert router.allow_relation(Page(), draft), "not saved anywhere yet"


ALIASES = ["default", "accounts", "catalog", "catalog_r1", "feedback", "pages"]


@pytest.mark.parametrize(
    ("app", "model", "expected"),
    [
        ("catalog", "product", ["catalog"]),
        ("catalog", None, ["catalog"]),
        ("catalog", "once_upon_a_time", ["catalog"]),
        ("feedback", "review", ["feedback"]),
        ("pages", "page", ["pages", "pages_draft"]),
        ("pages", None, ["pages", "pages_draft"]),
        ("auth", "user", ["accounts"]),
    ],
)
def test_tables_are_made_where_their_models_live(
    app: str, model: str | None, expected: list[str]
) -> None:
    allowed = [
        alias
        for alias in [*ALIASES, "pages_draft"]
        if router.allow_migrate(alias, app, model_name=model)
    ]
    assert allowed == expected


def test_an_operation_without_a_model_runs_on_every_cluster_of_its_app() -> None:
    clusters = {
        "accounts": {"MODELS": ["catalog.Tag"]},
        "catalog": {"APPS": ["catalog"]},
    }

    def allowed(**hints: Any) -> list[str]:
        return [a for a in ALIASES if router.allow_migrate(a, "catalog", **hints)]

    with override_settings(SHOAL={"CLUSTERS": clusters}):
        with pytest.raises(UnknownCluster, match="Did you mean 'catalog'"):
            allowed(cluster="catalogs")
        assert allowed() == ["accounts", "catalog"]
        assert allowed(cluster="catalog") == ["catalog"]
        assert allowed(model=Tag) == ["accounts"]
        assert allowed(model_name="tag") == ["accounts"]


def test_fresh_waits_no_negative_time() -> None:
    text = r"^fresh\(wait=-1\): it takes seconds, 0 or more\.$"
    with pytest.raises(ValueError, match=text):
        fresh(wait=-1)
