"""Rows of `bulk_create` that are there already: only a look on all shards can tell."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Q, UniqueConstraint, Value
from django.db.models.functions import Upper

from shoal.errors import QueryRefused
from tests.sharded.fixtures import with_ids
from tests.sharded.shop import SHARDS, SHOP

both = with_ids("bucketed", "plain")


def made(name: str, **options: Any) -> Any:
    """Return a model that is sharded by its primary key, with a unique `code`."""
    state = ProjectState()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("code", models.CharField(max_length=9, null=True, unique=not options)),
        ("points", models.IntegerField(default=0)),
    ]
    state.add_model(ModelState("sharded", name, fields, options))
    return state.apps.get_model("sharded", name)


@pytest.fixture
def badges(shop: str) -> Iterator[Any]:
    """A table, and in it eight rows: at least two shards have some."""
    badge = made("Badge")
    with connections[SHOP].schema_editor() as editor:
        editor.create_model(badge)
    rows = badge.objects.using(SHOP)
    rows.bulk_create([badge(code=f"old{n}", points=n) for n in range(8)])
    has_some = [badge.objects.using(shard).exists() for shard in SHARDS]
    assert sum(has_some) > 1
    yield rows
    with connections[SHOP].schema_editor() as editor:
        editor.delete_model(badge)


def pairs(rows: Any) -> list[Any]:
    return sorted(rows.filter(code__isnull=False).values_list("code", "points"))


OLD = [(f"old{n}", n) for n in range(8)]


@both
def test_what_is_on_any_shard_is_left_out(badges: Any) -> None:
    new = [badges.model(code=f"old{n}", points=99) for n in range(8)]
    badges.bulk_create([*new, badges.model(code="new")], ignore_conflicts=True)
    assert pairs(badges) == [("new", 0), *OLD]


@both
def test_of_equal_new_rows_the_first_is_inserted(badges: Any) -> None:
    new = [badges.model(code="new", points=n) for n in (1, 2, 3)]
    badges.bulk_create(new, ignore_conflicts=True)
    assert pairs(badges) == [("new", 1), *OLD]


@both
def test_null_equals_nothing(badges: Any) -> None:
    for _ in range(2):
        new = [badges.model(code=None) for _ in range(3)]
        badges.bulk_create(new, ignore_conflicts=True)
    assert badges.filter(code=None).count() == 6
    assert pairs(badges) == OLD


@both
def test_what_is_on_any_shard_is_updated(shop: str, badges: Any) -> None:
    there = {row.code: row.pk for row in badges.all()}
    new = [badges.model(code=f"old{n}", points=n + 10) for n in range(8)]
    unique = {} if shop == "mariadb" else {"unique_fields": ["code"]}
    badges.bulk_create(
        [badges.model(code="new", points=7), *new],
        update_conflicts=True,
        update_fields=["points"],
        **unique,
    )
    assert pairs(badges) == [("new", 7), *((code, n + 10) for code, n in OLD)]
    assert there.items() <= {row.code: row.pk for row in badges.all()}.items()


def test_a_value_that_only_the_server_knows_is_refused(badges: Any) -> None:
    new = [badges.model(code=Upper(Value("x")))]
    with pytest.raises(QueryRefused) as caught:
        badges.bulk_create(new, ignore_conflicts=True)
    assert str(caught.value) == (
        "sharded.Badge: whether a row conflicts over code cannot be told, since equal "
        "ones may be on two shards.\n"
        "Hint: Look for the rows first, or make the key a part of the constraint."
    )
    assert pairs(badges) == OLD


@pytest.mark.parametrize(
    ("constraint", "over"),
    [
        (UniqueConstraint(fields=["code"], condition=Q(points=1), name="u"), "code"),
        (UniqueConstraint(Upper("code"), name="u"), "an expression"),
    ],
)
def test_a_constraint_that_cannot_be_looked_for(
    shop: str, constraint: Any, over: str
) -> None:
    """Refused before any shard is asked: there is not even a table."""
    medal = made("Medal", constraints=[constraint])
    with pytest.raises(QueryRefused, match=f"conflicts over {over} cannot be told"):
        medal.objects.using(SHOP).bulk_create([medal()], ignore_conflicts=True)
