"""Migrations that would leave rows where their key does not say."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, migrations, models
from django.db.migrations.state import ProjectState

from shoal.errors import KeyChangeRefused
from tests.sharded.fixtures import with_ids
from tests.sharded.shop import SHARDS, SHOP

APP = "sharded"
pytestmark = with_ids("plain", "bucketed")


class History:
    """A table that migrations have made, on every shard."""

    def __init__(self) -> None:
        self.state = ProjectState()

    @property
    def model(self) -> Any:
        return self.state.apps.get_model(APP, "Boat")

    def apply(self, operation: Any) -> None:
        after = self.state.clone()
        operation.state_forwards(APP, after)
        with connections[SHOP].schema_editor() as editor:
            operation.database_forwards(APP, editor, self.state, after)
        self.state = after


@pytest.fixture
def history(shop: str) -> Iterator[History]:
    made = History()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=10)),
    ]
    made.apply(migrations.CreateModel("Boat", fields))
    yield made
    made.apply(migrations.DeleteModel("Boat"))


def names(history: History) -> list[str]:
    return sorted(row.name for row in history.model.objects.using(SHOP))


TEXT = migrations.AlterField(
    "Boat", "id", models.CharField(max_length=40, primary_key=True)
)


def test_another_key_is_refused_while_there_are_rows(history: History) -> None:
    rows = history.model.objects.using(SHOP)
    rows.bulk_create([history.model(name=name) for name in "abcdefgh"])
    with pytest.raises(KeyChangeRefused) as caught:
        history.apply(TEXT)
    assert "change the key of sharded.Boat from id to id of another" in str(
        caught.value
    )
    assert names(history) == [*"abcdefgh"]
    assert all(rows.filter(pk=row.pk).exists() for row in rows.all())


def test_an_empty_table_may_get_another_key(history: History) -> None:
    history.apply(TEXT)
    rows = history.model.objects.using(SHOP)
    for name in "abcdefgh":
        rows.create(pk=name, name=name)
    assert all(rows.get(pk=name).name == name for name in "abcdefgh")
    assert sum(rows.using(shard).count() for shard in SHARDS) == 8


def test_a_key_may_be_renamed(history: History) -> None:
    rows = history.model.objects.using(SHOP)
    rows.bulk_create([history.model(name=name) for name in "abcd"])
    history.apply(migrations.RenameField("Boat", "id", "number"))
    rows = history.model.objects.using(SHOP)
    assert [rows.get(number=row.number).name for row in rows.order_by("name")] == [
        *"abcd"
    ]


def test_other_fields_may_change(history: History) -> None:
    rows = history.model.objects.using(SHOP)
    rows.bulk_create([history.model(name=name) for name in "abcd"])
    history.apply(migrations.AlterField("Boat", "name", models.TextField()))
    field = models.ForeignKey("sharded.Boat", models.CASCADE, null=True)
    history.apply(migrations.AddField("Boat", "beside", field))
    assert names(history) == [*"abcd"]


def test_a_field_that_is_on_no_model_yet(history: History) -> None:
    """As what calls the schema editor by itself may have it."""
    field = models.OneToOneField(history.model, models.CASCADE, null=True)
    field.set_attributes_from_name("beside")
    with connections[SHOP].schema_editor() as editor:
        editor.add_field(history.model, field)
    for shard in SHARDS:
        with connections[shard].cursor() as cursor:
            cursor.execute("SELECT beside_id FROM sharded_boat")
