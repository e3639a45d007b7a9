"""Values of each type: what a sharded alias answers, and what one database answers."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models import JSONField, Value
from django.test import override_settings
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.sharded.fixtures import on_postgresql
from tests.sharded.shop import SHOP, TWIN, routed_to
from tests.typed.asking import alike, answer, same, told
from tests.typed.columns import Column, columns_of
from tests.typed.questions import Question, collecting, questions_of
from tests.typed.table import both, spread, typed_table

N = int(os.environ.get("SHOAL_FUZZ", "0"))
"""How many questions for each test; `make fuzz` sets it. Else few, always the same."""
ASKED = 10
"""Questions about the rows of one table."""


def drawn(few: int) -> Any:
    """Draw tables for N questions, or so few, and then the same ones each time."""
    return settings(
        max_examples=-(-N // ASKED) or few,
        derandomize=not N,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


@pytest.fixture(scope="module")
def model(open_shop: str) -> Iterator[Any]:
    with typed_table() as model:
        yield model


def write(draw: Any, column: Column, model: Any) -> list[Any]:
    """Write rows with drawn values to both, in a drawn way; return the values."""
    name, way = column.name, draw(st.sampled_from(("bulk", "save", "update", "change")))
    pool = draw(st.lists(column.values, min_size=2, max_size=5))
    values = draw(st.lists(st.sampled_from([None, *pool]), min_size=3, max_size=10))
    parts = draw(st.lists(st.integers(0, 2), min_size=10, max_size=10))
    keys = spread(len(values))
    nulls = draw(st.sets(st.sampled_from(keys), max_size=2))
    for alias in (SHOP, TWIN):
        rows = model._base_manager.using(alias)
        made = [
            model(pk=key, part=part, **({} if way == "change" else {name: value}))
            for key, part, value in zip(keys, parts, values, strict=False)
        ]
        with routed_to(alias):
            if way == "save":
                for row in made:
                    row.save(using=alias, force_insert=True)
            else:
                rows.bulk_create(made)
            if way == "update":
                rows.filter(part=0).update(**{name: pool[0]})
            if way == "change":
                for row, value in zip(made, values, strict=True):
                    setattr(row, name, value)
                rows.bulk_update(made, [name])
            if column.kind == "json":
                null = Value(None, JSONField())
                rows.filter(pk__in=nulls).update(**{name: null})
    return list(pool)


def check(draw: Any, model: Any, column: Column, questions: list[Question]) -> None:
    field = model._meta.get_field(column.name)
    with both():
        pool = write(draw, column, model)
        twin = model._base_manager.using(TWIN)
        with routed_to(TWIN):
            equal = alike(column, twin)
            rows = told(twin.order_by("pk").values_list("pk", "part", column.name))
        for _ in range(ASKED):
            question = draw(st.sampled_from(questions))
            given_ = [
                draw(st.one_of(st.sampled_from(pool), column.values)) for _ in "vw"
            ]
            ours, theirs = (answer(question, a, field, given_) for a in (SHOP, TWIN))
            assert same(ours, theirs, question, equal), (
                f"\n    {question.text.replace('COL', column.name)}\n"
                f"v, w: {given_!r}\nrows: {rows!r}\n"
                f"shards: {ours!r}\n  twin: {theirs!r}"
            )


def _column(draw: Any, columns: list[Column]) -> Column:
    """Draw one by its name, which is shown where a test fails."""
    name = draw(st.sampled_from([one.name for one in columns]))
    return next(one for one in columns if one.name == name)


@drawn(40)
@given(data=st.data())
def test_types(model: Any, data: Any) -> None:
    vendor = connections[TWIN].vendor
    column = _column(data.draw, columns_of(vendor))
    check(data.draw, model, column, questions_of(vendor, column.kind))


@pytest.fixture
def without_zones(model: Any) -> Iterator[None]:
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        yield


@drawn(8)
@given(data=st.data())
def test_times_without_zones(model: Any, without_zones: None, data: Any) -> None:
    vendor = connections[TWIN].vendor
    columns = [one for one in columns_of(vendor) if one.kind in ("moment", "clock")]
    column = _column(data.draw, columns)
    check(data.draw, model, column, questions_of(vendor, column.kind))


@on_postgresql
@drawn(20)
@given(data=st.data())
def test_aggregates_of_postgresql(model: Any, data: Any) -> None:
    column = _column(data.draw, columns_of("postgresql"))
    questions = collecting(column.name, column.kind)
    check(data.draw, model, column, questions)
